//! What the saga remembers: its terms, its stage, every step so far, and the one effect that is open.

mod evolve;
mod queries;

use std::collections::VecDeque;

use event_schema::fulfilment::{self as event, Cause, Line, Outcome, Step};
use event_schema::ids::EffectId;
use event_schema::order::{CancelReason, PaymentMethod};
use event_schema::{Money, SagaDef, Timestamp};
use serde::{Deserialize, Serialize};

/// How many commands of operators are remembered with the saga; `done.<command id>` remembers them all.
pub const REMEMBERED_COMMANDS: usize = 64;
/// How many late outcomes a closed saga records; what comes on top is in the payment's callbacks.
pub const MOST_LATE_OUTCOMES: usize = 32;

/// A saga so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// There is no such saga.
    NotStarted,
    /// It runs, or has ended.
    Started(Box<Saga>),
}

/// A saga that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saga {
    /// The definition that it runs under to its end.
    pub def: SagaDef,
    /// The provider that is asked for the money.
    pub provider: String,
    /// How the customer pays.
    pub method: PaymentMethod,
    /// How much.
    pub total: Money,
    /// What has to be held and sold.
    pub lines: Vec<Line>,
    /// Where it stands.
    pub stage: Stage,
    /// Every step that was opened, in the order of its first opening.
    pub steps: Vec<StepRecord>,
    /// The effect that is open; none when it needs a person or has ended.
    pub pending: Option<Pending>,
    /// What a person is needed for.
    pub stuck: Option<Stuck>,
    /// What operators ordered, the latest last.
    pub commands: VecDeque<event::OperatorCommanded>,
    /// What the provider told after a person had ended it.
    pub late: Vec<event::LateOutcomeRecorded>,
}

/// Where a saga stands. A stage that has ended has no room for a compensation that is still due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Going forward.
    Running,
    /// Putting back.
    Unwinding(Unwinding),
    /// Everything was done.
    Completed,
    /// Everything was put back.
    Compensated {
        /// Why.
        reason: CancelReason,
    },
    /// A person has ended it. Nothing brings it back.
    Closed(Ending),
}

/// How a person has ended a saga.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The compensations that have not run and will not run by themselves.
    pub left_due: Vec<Step>,
    /// Why, in the operator's words.
    pub reason: String,
    /// Why the order is called off, if it is.
    pub called_off: Option<CancelReason>,
}

/// A saga that puts back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unwinding {
    /// Why.
    pub reason: CancelReason,
    /// For people.
    pub detail: Option<String>,
    /// The compensations, as they were frozen.
    pub plan: Vec<Step>,
    /// Those that have not run yet, in order.
    pub due: Vec<Step>,
}

/// One step so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Which.
    pub step: Step,
    /// How it stands.
    pub state: StepState,
    /// The newest effect, for a step outside.
    pub effect_id: Option<EffectId>,
    /// How often it was opened under a new effect id.
    pub opening: u32,
    /// Tries that have ended.
    pub tries: u32,
    /// How often the newest effect was refused for good: a provider that remembers its refusal under the key would
    /// only repeat it when a person has it tried again.
    pub refusals: u32,
    /// How the last one ended.
    pub outcome: Option<Outcome>,
    /// For people.
    pub detail: Option<String>,
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Its effect is open.
    Open,
    /// Done.
    Done,
    /// Refused for good.
    Refused,
    /// Its compensation took over before its outcome was known, and sees to whatever still lands.
    Overtaken,
    /// Waits for a person.
    Stuck,
    /// A person has settled it outside.
    Skipped,
}

/// The effect that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Which step.
    pub step: Step,
    /// The provider's idempotency key.
    pub effect_id: EffectId,
    /// Which opening of the step, from 1.
    pub opening: u32,
    /// The deadline that was recorded with the intent, an answer deadline after its moment: how old the key is.
    pub intent_deadline: Timestamp,
    /// The opening with which its budget began: the first one, or the one that a person had tried again.
    pub first_opening: u32,
    /// The try that runs or comes next, from 1.
    pub attempt: u32,
    /// What it waits for.
    pub phase: Phase,
    /// Milliseconds of its budget used so far.
    pub budget_used_ms: u64,
    /// Until when the customer has time, once the customer was asked.
    pub customer_until: Option<Timestamp>,
}

/// What an open effect waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// The call's answer. Found at takeover, its outcome is unknown, whatever its age.
    InFlight {
        /// When it is looked into at the latest.
        until: Timestamp,
    },
    /// The next try, a look-up or the same call again.
    Backoff {
        /// When that is.
        until: Timestamp,
    },
    /// The customer, on the provider's page.
    AwaitingCustomer {
        /// Until when.
        until: Timestamp,
    },
}

impl Phase {
    /// The moment it waits for.
    pub const fn until(self) -> Timestamp {
        match self {
            Self::InFlight { until }
            | Self::Backoff { until }
            | Self::AwaitingCustomer { until } => until,
        }
    }
}

/// What a person is needed for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    /// The step.
    pub step: Step,
    /// Why.
    pub cause: Cause,
    /// For people.
    pub detail: String,
    /// The effect whose outcome nobody knows; a definite answer to it still counts.
    pub open: Option<Pending>,
}
