//! What a person may order when a saga cannot go on by itself, or should not.
//!
//! | Command | When | What comes of it |
//! |---|---|---|
//! | retry | needs a person | the stuck effect again under the same id, with a fresh budget |
//! | resolve | needs a person | the operator states the truth; the saga goes on as if the provider had said it |
//! | skip | needs a person | the step was settled outside; what is left is done, and the saga ends *closed* |
//! | abort | before the point of no return | it turns back |
//! | close | needs a person | it ends *closed*; what needs no provider is put back, the rest is named as left due |
//!
//! A command has an id and a reason and is an event of the saga's history; what comes of it is in the same batch. The
//! same id again changes nothing. Of two operators the second one decides on what the first one has left: his command
//! is refused, because the saga waits for nobody any more.

mod close;
mod resolve;
mod retry;
mod skip;
mod would;

use event_schema::fulfilment::{self as event, Cause, OperatorVerb, Outcome, Step};
use event_schema::ids::CommandId;
use event_schema::order::CancelReason;

use super::draft::{Draft, cut};
use super::{Rejection, Stage, Status, Stuck};

pub(super) use would::list;
pub use would::{DryRun, dry_run};

/// What an operator orders, with everything that has to be recorded about it. Who it was is the batch's actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorCommand {
    /// The same for every repeat.
    pub command_id: CommandId,
    /// What.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// Set when the saga's handling keeps failing, which its history does not know yet.
    pub quarantine: Option<Quarantine>,
}

/// What an operator can order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The stuck effect again.
    Retry {
        /// Which step, for whoever wants to be sure.
        step: Option<Step>,
    },
    /// The stuck step was settled outside.
    Skip {
        /// Which step.
        step: Step,
    },
    /// The truth about the stuck step.
    Resolve {
        /// Which step.
        step: Step,
        /// What became of it.
        truth: Truth,
        /// How the operator knows; for an authorisation it names the provider's payment.
        evidence: String,
    },
    /// Turn back.
    Abort,
    /// End it as it is.
    Close,
}

impl Action {
    /// Which command it is.
    pub const fn verb(&self) -> OperatorVerb {
        match self {
            Self::Retry { .. } => OperatorVerb::Retry,
            Self::Skip { .. } => OperatorVerb::Skip,
            Self::Resolve { .. } => OperatorVerb::Resolve,
            Self::Abort => OperatorVerb::Abort,
            Self::Close => OperatorVerb::Close,
        }
    }
}

/// What an operator can state about a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// Done, as it was asked for.
    Ok,
    /// Refused for good: not done, and it will not be.
    Refused,
}

impl Truth {
    const fn outcome(self) -> Outcome {
        match self {
            Self::Ok => Outcome::Ok,
            Self::Refused => Outcome::Refused,
        }
    }
}

/// Why a saga is not worked although its history says that it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// Why.
    pub cause: Cause,
    /// For people.
    pub detail: String,
}

/// Why an operator's command is refused. What is asked for in vain is a conflict; what is asked for badly is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorRejection {
    /// Somebody has to be able to read why.
    #[error("a command of an operator needs a reason")]
    ReasonMissing,
    /// A statement without evidence is a guess.
    #[error("say how you know: resolve needs evidence")]
    EvidenceMissing,
    /// Without its name the payment cannot be taken later.
    #[error("the evidence has to name the provider's payment, such as pi_123")]
    PaymentNotNamed,
    /// The command id stands for another command.
    #[error("this command id was used for another command")]
    CommandReused,
    /// It goes on by itself, perhaps because another operator was faster.
    #[error("the saga waits for nobody now: it is {}", status.as_str())]
    NotWaiting {
        /// How it stands.
        status: Status,
    },
    /// It has ended, perhaps because another operator was faster.
    #[error("the saga has ended already: it is {}", status.as_str())]
    AlreadyEnded {
        /// How.
        status: Status,
    },
    /// The direction sticks.
    #[error("the saga turns back already")]
    TurnsBackAlready,
    /// Another step than the one that is stuck.
    #[error("{named} is not what it waits for; {stuck} is stuck")]
    OtherStep {
        /// What it waits for.
        stuck: Step,
        /// What the command is about.
        named: Step,
    },
    /// There is no call to make again.
    #[error("there is no call of {step} to make again; resolve, skip or close it")]
    NothingToRetry {
        /// The stuck step.
        step: Step,
    },
    /// Nothing new is stated.
    #[error("{step} is known to be refused already; retry, skip or close it")]
    RefusedAlready {
        /// The stuck step.
        step: Step,
    },
    /// Our own histories know.
    #[error(
        "{step} is done inside, where nobody has to be believed; retry or skip it, or resolve it as refused"
    )]
    KnownInside {
        /// The stuck step.
        step: Step,
    },
    /// What would have to follow cannot.
    #[error("{step} cannot be skipped: {why}")]
    CannotSkip {
        /// The stuck step.
        step: Step,
        /// What stands in the way.
        why: String,
    },
}

impl OperatorRejection {
    /// The rejection as a stable word.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ReasonMissing => "reason_missing",
            Self::EvidenceMissing => "evidence_missing",
            Self::PaymentNotNamed => "payment_not_named",
            Self::CommandReused => "idempotency_key_reused",
            Self::NotWaiting { .. } => "not_waiting",
            Self::AlreadyEnded { .. } => "already_ended",
            Self::TurnsBackAlready => "turns_back_already",
            Self::OtherStep { .. } => "other_step",
            Self::NothingToRetry { .. } => "nothing_to_retry",
            Self::RefusedAlready { .. } => "refused_already",
            Self::KnownInside { .. } => "known_inside",
            Self::CannotSkip { .. } => "cannot_skip",
        }
    }

    /// Whether the command itself is wrong, whatever the saga's state.
    pub const fn is_invalid(&self) -> bool {
        match self {
            Self::ReasonMissing
            | Self::EvidenceMissing
            | Self::PaymentNotNamed
            | Self::CommandReused => true,
            Self::NotWaiting { .. }
            | Self::AlreadyEnded { .. }
            | Self::TurnsBackAlready
            | Self::OtherStep { .. }
            | Self::NothingToRetry { .. }
            | Self::RefusedAlready { .. }
            | Self::KnownInside { .. }
            | Self::CannotSkip { .. } => false,
        }
    }
}

/// Decides an operator's command. A repeat of one that has been carried out changes nothing.
pub(super) fn commanded(draft: &mut Draft<'_>, command: OperatorCommand) -> Result<(), Rejection> {
    let ordered = recorded(&command)?;
    if let Some(before) = draft.saga.command(ordered.command_id) {
        let same = (before.command, before.outcome) == (ordered.command, ordered.outcome)
            && (&before.evidence, &before.reason) == (&ordered.evidence, &ordered.reason)
            && (ordered.step.is_none() || ordered.step == before.step);
        return match same {
            true => Ok(()),
            false => Err(OperatorRejection::CommandReused.into()),
        };
    }
    quarantined(draft, command.quarantine);
    match command.action {
        Action::Retry { step } => retry::decide(draft, step, ordered),
        Action::Skip { step } => skip::decide(draft, step, ordered),
        Action::Resolve { step, truth, .. } => resolve::decide(draft, step, truth, ordered),
        Action::Abort => abort(draft, ordered),
        Action::Close => close::decide(draft, ordered),
    }
}

/// The command as the history has it.
fn recorded(command: &OperatorCommand) -> Result<event::OperatorCommanded, OperatorRejection> {
    let reason = cut(command.reason.trim());
    if reason.is_empty() {
        return Err(OperatorRejection::ReasonMissing);
    }
    let (step, outcome, evidence) = match &command.action {
        Action::Retry { step } => (*step, None, None),
        Action::Skip { step } => (Some(*step), None, None),
        Action::Resolve {
            step,
            truth,
            evidence,
        } => {
            let evidence = cut(evidence.trim());
            if evidence.is_empty() {
                return Err(OperatorRejection::EvidenceMissing);
            }
            (Some(*step), Some(truth.outcome()), Some(evidence))
        }
        Action::Abort | Action::Close => (None, None, None),
    };
    Ok(event::OperatorCommanded {
        command: command.action.verb(),
        step,
        outcome,
        evidence,
        reason,
        command_id: command.command_id,
    })
}

/// A saga that is not worked any more waits for a person: the history learns that with the first command about it.
fn quarantined(draft: &mut Draft<'_>, quarantine: Option<Quarantine>) {
    let Some(Quarantine { cause, detail }) = quarantine else {
        return;
    };
    if let Some(open) = draft.saga.pending.clone() {
        draft.need_operator(open.step, cause, &detail);
    }
}

/// What it waits for a person for.
fn waiting(draft: &Draft<'_>, named: Option<Step>) -> Result<Stuck, OperatorRejection> {
    let status = draft.saga.status();
    if draft.saga.has_ended() {
        return Err(OperatorRejection::AlreadyEnded { status });
    }
    let Some(stuck) = draft.saga.stuck.clone() else {
        return Err(OperatorRejection::NotWaiting { status });
    };
    match named {
        Some(named) if named != stuck.step => Err(OperatorRejection::OtherStep {
            stuck: stuck.step,
            named,
        }),
        Some(_) | None => Ok(stuck),
    }
}

/// Turns back, as long as no money is being taken.
fn abort(draft: &mut Draft<'_>, ordered: event::OperatorCommanded) -> Result<(), Rejection> {
    match &draft.saga.stage {
        Stage::Completed => return Err(Rejection::TooLate),
        Stage::Compensated { .. } | Stage::Closed(_) => {
            let status = draft.saga.status();
            return Err(OperatorRejection::AlreadyEnded { status }.into());
        }
        Stage::Unwinding(_) => return Err(OperatorRejection::TurnsBackAlready.into()),
        Stage::Running if draft.saga.is_past_no_return() => return Err(Rejection::TooLate),
        Stage::Running => {}
    }
    draft.accept(ordered);
    // The customer reads why an order was called off; the operator's words are not meant for that.
    draft.unwind(CancelReason::OperatorAborted, None)
}
