//! What the provider answered, in the saga's words, and which step's business it is.

use std::time::Duration;

use event_schema::Money;
use event_schema::fulfilment::Step;
use event_schema::ids::EffectId;

use super::draft::Draft;
use super::{Rejection, Stage, attempt, authorise, capture, closed, completed, late, refund, void};

/// What came of a call or of a look-up. No answer, a broken connection or a 5xx is `Unknown`, never `Refused`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The money is set aside.
    Authorised {
        /// The provider's payment.
        provider_payment_id: String,
        /// How much.
        amount: Money,
    },
    /// The customer has to act on the provider's page, or has not acted yet.
    ActionRequired {
        /// The page.
        checkout_url: String,
        /// The provider's checkout session.
        session_id: Option<String>,
        /// The provider's payment, when it exists already.
        provider_payment_id: Option<String>,
    },
    /// The money is taken, as asked.
    Captured {
        /// How much.
        amount: Money,
    },
    /// What was set aside is let go.
    Voided,
    /// Nothing was ever set aside, and nothing can land any more.
    NothingToVoid,
    /// The money is given back.
    Refunded {
        /// The provider's refund.
        refund_id: String,
        /// How much.
        amount: Money,
    },
    /// The money turned out to be taken although that was not asked, or not any more.
    AlreadyCaptured {
        /// The provider's payment.
        provider_payment_id: String,
        /// How much.
        amount: Money,
    },
    /// Refused for good: asking again changes nothing.
    Refused {
        /// The provider's code.
        code: String,
        /// The provider's words.
        message: String,
    },
    /// The provider shows the refund as failed; it may have shown it as given back before, until the customer's bank
    /// returned the money.
    RefundFailed {
        /// The provider's refund.
        refund_id: String,
        /// How much it was to give back.
        amount: Money,
        /// The provider's code.
        code: String,
        /// The provider's words.
        message: String,
    },
    /// Certainly not done; ask again.
    Retry {
        /// The pause that the provider asks for.
        after: Option<Duration>,
        /// What was seen.
        detail: String,
        /// Whether the provider could be reached.
        reachable: bool,
    },
    /// Nobody knows: look it up.
    Unknown {
        /// The pause that the provider asks for.
        after: Option<Duration>,
        /// What was seen.
        detail: String,
        /// Whether the provider could be reached.
        reachable: bool,
    },
    /// The call provably never happened and its key is spent, such as on an error that the provider replays: it is
    /// opened anew under a new effect id.
    NeverHappened {
        /// What was seen.
        detail: String,
    },
}

impl Answer {
    /// The kind of answer, for people.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Authorised { .. } => "authorised",
            Self::ActionRequired { .. } => "action_required",
            Self::Captured { .. } => "captured",
            Self::Voided => "voided",
            Self::NothingToVoid => "nothing_to_void",
            Self::Refunded { .. } => "refunded",
            Self::AlreadyCaptured { .. } => "already_captured",
            Self::Refused { .. } => "refused",
            Self::RefundFailed { .. } => "refund_failed",
            Self::Retry { .. } => "retry",
            Self::Unknown { .. } => "unknown",
            Self::NeverHappened { .. } => "never_happened",
        }
    }
}

/// An answer to the open effect counts; to any other one it changes nothing, unless it is a success after the end. After
/// the order is completed, or a person has ended the saga, it only enters the books.
pub(super) fn answered(
    draft: &mut Draft<'_>,
    step: Step,
    effect_id: EffectId,
    answer: Answer,
) -> Result<(), Rejection> {
    match &draft.saga.stage {
        Stage::Completed if draft.saga.knows(draft.world.order_id, effect_id) => {
            return completed::answered(draft, answer);
        }
        Stage::Completed => return Ok(()),
        Stage::Compensated { reason } => {
            let reason = *reason;
            return late::answered(draft, reason, effect_id, answer);
        }
        Stage::Closed(_) => return closed::answered(draft, effect_id, answer),
        Stage::Running | Stage::Unwinding(_) => {}
    }
    let Some(open) = draft.saga.open(step, effect_id).cloned() else {
        return Ok(());
    };
    match step {
        Step::Authorise => authorise::answered(draft, &open, answer),
        Step::Capture => capture::answered(draft, &open, answer),
        Step::Void => void::answered(draft, &open, answer),
        Step::Refund => refund::answered(draft, &open, answer),
        // Steps inside are never open: they are decided in the batch that reaches them.
        Step::Hold | Step::Commit | Step::Release => Err(unfit(step, &answer)),
    }
}

/// The answers that end a try and not a step.
pub(super) fn unsettled(
    draft: &mut Draft<'_>,
    open: &super::Pending,
    answer: Answer,
) -> Result<(), Rejection> {
    match answer {
        Answer::Retry {
            after,
            detail,
            reachable,
        } => attempt::retry(draft, open, after, &detail, reachable),
        Answer::Unknown {
            after,
            detail,
            reachable,
        } => attempt::unknown(draft, open, after, &detail, reachable),
        Answer::NeverHappened { detail } => attempt::open_anew(draft, open, &detail),
        Answer::Authorised { .. }
        | Answer::ActionRequired { .. }
        | Answer::Captured { .. }
        | Answer::Voided
        | Answer::NothingToVoid
        | Answer::Refunded { .. }
        | Answer::AlreadyCaptured { .. }
        | Answer::Refused { .. }
        | Answer::RefundFailed { .. } => Err(unfit(open.step, &answer)),
    }
}

/// An answer that a step cannot have: the adapter is wrong, and nothing is decided on a guess.
pub(super) fn unfit(step: Step, answer: &Answer) -> Rejection {
    Rejection::UnfitAnswer {
        step,
        answer: answer.name(),
    }
}
