//! What can happen to the saga `fulfilment` of one order; its id is the order's.
//!
//! The history is the saga: inputs, intents, outcomes and deadlines are all here, and the headers alone tell the
//! story. An intent is recorded before its effect; an outcome is one of ok, refused, retry, unknown.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::decider::SagaDef;
use crate::envelope::SagaHeaders;
use crate::event_set::event_set;
use crate::ids::{CommandId, EffectId, ProductId};
use crate::money::Money;
use crate::order::{CancelReason, PaymentMethod};

/// One request of the saga and its outcome, forward or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Set the money aside (provider).
    Authorise,
    /// Put the units aside, all lines or none (inventory).
    Hold,
    /// Take the money (provider): the pivot.
    Capture,
    /// Sell the held units and confirm the order (inventory, order).
    Commit,
    /// Let the money go (provider): makes up for `authorise`.
    Void,
    /// Put the held units back (inventory): makes up for `hold`.
    Release,
    /// Give taken money back (provider): makes up for `capture` when it lands after all.
    Refund,
}

impl Step {
    /// The step as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorise => "authorise",
            Self::Hold => "hold",
            Self::Capture => "capture",
            Self::Commit => "commit",
            Self::Void => "void",
            Self::Release => "release",
            Self::Refund => "refund",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a try of a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Ok,
    /// Refused for good: asking again changes nothing.
    Refused,
    /// Certainly not done; ask again later.
    Retry,
    /// Nobody knows yet: look it up, never give up on it.
    Unknown,
}

impl Outcome {
    /// The outcome as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Retry => "retry",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a saga needs a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The provider refused to give the money back.
    RefundRefused,
    /// The provider refused to let the money go.
    VoidRefused,
    /// The provider was reachable for the whole budget and the outcome is still unknown.
    PaymentUnknown,
    /// The provider holds another amount or currency than was asked for.
    AmountMismatch,
    /// The provider kept answering "later" for the whole budget.
    RetriesExhausted,
    /// The history cannot be folded, or handling it keeps failing.
    Poisoned,
    /// The history needs a build that knows its definition.
    VersionUnsupported,
}

impl Cause {
    /// The cause as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RefundRefused => "refund_refused",
            Self::VoidRefused => "void_refused",
            Self::PaymentUnknown => "payment_unknown",
            Self::AmountMismatch => "amount_mismatch",
            Self::RetriesExhausted => "retries_exhausted",
            Self::Poisoned => "poisoned",
            Self::VersionUnsupported => "version_unsupported",
        }
    }
}

/// What the saga holds and sells: quantity by product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What.
    pub product_id: ProductId,
    /// How many.
    pub quantity: u32,
}

/// The saga runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The definition that this history runs under to its end.
    pub def: SagaDef,
    /// The provider that is asked for the money.
    pub provider: String,
    /// How the customer pays.
    pub method: PaymentMethod,
    /// How much.
    pub total: Money,
    /// What has to be held.
    pub lines: Vec<Line>,
}

/// An effect is about to be called, under a stable id. Without a later outcome its outcome is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intended {
    /// Which step.
    pub step: Step,
    /// The provider's idempotency key.
    pub effect_id: EffectId,
    /// Which opening of the step, from 1: a new effect id is opened only when the old call provably never happened.
    pub opening: u32,
    /// When the call is looked into at the latest.
    pub deadline: Timestamp,
}

/// The customer has to act on the provider's page; the saga waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerAwaited {
    /// The step that waits.
    pub step: Step,
    /// The effect that opened the page.
    pub effect_id: EffectId,
    /// Until when.
    pub deadline: Timestamp,
}

/// A try ended without an end of the step: it is asked or looked up again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptEnded {
    /// Which step.
    pub step: Step,
    /// The effect, unchanged.
    pub effect_id: EffectId,
    /// Which try, from 1.
    pub attempt: u32,
    /// retry or unknown.
    pub outcome: Outcome,
    /// What was seen.
    pub detail: String,
    /// Milliseconds of the budget used so far; only time in which the provider could be reached counts.
    pub budget_used_ms: u64,
    /// When it is tried again.
    pub deadline: Timestamp,
}

/// A step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEnded {
    /// Which step.
    pub step: Step,
    /// The effect, for a step outside.
    pub effect_id: Option<EffectId>,
    /// Tries it took.
    pub attempt: u32,
    /// ok or refused.
    pub outcome: Outcome,
    /// For people: the provider's code, the sold-out product.
    pub detail: Option<String>,
}

/// From here on the saga only puts back; the plan is frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnwindingBegan {
    /// What the customer will be told.
    pub reason: CancelReason,
    /// For people.
    pub detail: Option<String>,
    /// The compensations due, in order.
    pub plan: Vec<Step>,
}

/// The saga cannot go on by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeedsOperator {
    /// The step that is stuck.
    pub step: Step,
    /// Why.
    pub cause: Cause,
    /// For people.
    pub detail: String,
}

/// What an operator can order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorVerb {
    /// The stuck effect again, under the same id, with a fresh budget.
    Retry,
    /// The stuck step was settled outside.
    Skip,
    /// The truth about the stuck step.
    Resolve,
    /// Turn back, before the point of no return.
    Abort,
    /// End it as it is, naming what stays due.
    Close,
}

impl OperatorVerb {
    /// The command as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Skip => "skip",
            Self::Resolve => "resolve",
            Self::Abort => "abort",
            Self::Close => "close",
        }
    }
}

impl fmt::Display for OperatorVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An operator's command was accepted; what comes of it follows in the same batch. Who it was is the event's actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorCommanded {
    /// Which.
    pub command: OperatorVerb,
    /// About which step, if about one.
    pub step: Option<Step>,
    /// ok or refused: what the operator states.
    pub outcome: Option<Outcome>,
    /// How the operator knows.
    pub evidence: Option<String>,
    /// Why, in the operator's words.
    pub reason: String,
    /// The same for every repeat of the command.
    pub command_id: CommandId,
}

/// A person has ended the saga; nothing brings it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// The compensations that have not run and will not run by themselves; none when all was settled.
    pub left_due: Vec<Step>,
    /// Why, in the operator's words.
    pub reason: String,
}

/// The provider has told something about money after a person had ended the saga. It changes nothing but the books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateOutcomeRecorded {
    /// The step whose outcome it is.
    pub step: Step,
    /// The effect that it was found under.
    pub effect_id: EffectId,
    /// ok: done after all.
    pub outcome: Outcome,
    /// For people: how much, under which name at the provider.
    pub detail: String,
}

/// Everything was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {}

/// Everything was put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compensated {
    /// What the customer was told.
    pub reason: CancelReason,
}

event_set! {
    /// The saga's events.
    pub enum Event of "fulfilment" {
        /// The saga runs.
        "fulfilment.started" 1 => Started(Started),
        /// An effect is about to be called.
        "fulfilment.intended" 1 => Intended(Intended),
        /// The customer has to act.
        "fulfilment.customer_awaited" 1 => CustomerAwaited(CustomerAwaited),
        /// A try ended, the step did not.
        "fulfilment.attempt_ended" 1 => AttemptEnded(AttemptEnded),
        /// A step ended.
        "fulfilment.step_ended" 1 => StepEnded(StepEnded),
        /// From here on only back.
        "fulfilment.unwinding_began" 1 => UnwindingBegan(UnwindingBegan),
        /// A person is needed.
        "fulfilment.needs_operator" 1 => NeedsOperator(NeedsOperator),
        /// Everything was done.
        "fulfilment.completed" 1 => Completed(Completed),
        /// Everything was put back.
        "fulfilment.compensated" 1 => Compensated(Compensated),
        /// A person has ordered something.
        "fulfilment.operator_commanded" 1 => OperatorCommanded(OperatorCommanded),
        /// A person has ended it.
        "fulfilment.closed" 1 => Closed(Closed),
        /// Told after a person had ended it.
        "fulfilment.late_outcome_recorded" 1 => LateOutcomeRecorded(LateOutcomeRecorded),
    }
    upcasts []
    saga_headers headers_of
}

/// What of an event is shown in headers; `Saga-Def` is added from the state by whoever appends.
fn headers_of(event: &Event) -> SagaHeaders {
    let step = |step: Step| Some(step.as_str().to_owned());
    match event {
        Event::Started(e) => SagaHeaders {
            def: Some(e.def.to_string()),
            ..SagaHeaders::default()
        },
        Event::Intended(e) => SagaHeaders {
            step: step(e.step),
            effect_id: Some(e.effect_id),
            deadline: Some(e.deadline),
            ..SagaHeaders::default()
        },
        Event::CustomerAwaited(e) => SagaHeaders {
            step: step(e.step),
            effect_id: Some(e.effect_id),
            deadline: Some(e.deadline),
            ..SagaHeaders::default()
        },
        Event::AttemptEnded(e) => SagaHeaders {
            step: step(e.step),
            outcome: Some(e.outcome.as_str().into()),
            attempt: Some(e.attempt),
            effect_id: Some(e.effect_id),
            deadline: Some(e.deadline),
            ..SagaHeaders::default()
        },
        Event::StepEnded(e) => SagaHeaders {
            step: step(e.step),
            outcome: Some(e.outcome.as_str().into()),
            attempt: Some(e.attempt),
            effect_id: e.effect_id,
            ..SagaHeaders::default()
        },
        Event::NeedsOperator(e) => SagaHeaders {
            step: step(e.step),
            ..SagaHeaders::default()
        },
        Event::OperatorCommanded(e) => SagaHeaders {
            step: e.step.and_then(step),
            outcome: e.outcome.map(|outcome| outcome.as_str().into()),
            ..SagaHeaders::default()
        },
        Event::LateOutcomeRecorded(e) => SagaHeaders {
            step: step(e.step),
            outcome: Some(e.outcome.as_str().into()),
            effect_id: Some(e.effect_id),
            ..SagaHeaders::default()
        },
        Event::UnwindingBegan(_)
        | Event::Completed(_)
        | Event::Compensated(_)
        | Event::Closed(_) => SagaHeaders::default(),
    }
}
