//! The saga as operators read it: status, steps, money and stock side by side.

use event_schema::fulfilment::{Cause, Outcome, Step};
use event_schema::ids::{EffectId, ProductId};
use event_schema::order::CancelReason;
use event_schema::{SagaDef, Timestamp};
use serde::Serialize;

use super::steps::forward;
use super::{Pending, Phase, Saga, Stage, State, StepState};
use crate::payment::{self, Ledger};

/// A saga's status in the words of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Going forward.
    Running,
    /// Putting back.
    Unwinding,
    /// Cannot go on by itself.
    NeedsOperator,
    /// Everything was done.
    Completed,
    /// Everything was put back.
    Compensated,
    /// Ended by a person.
    Closed,
}

impl Status {
    /// The status as shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Unwinding => "unwinding",
            Self::NeedsOperator => "needs_operator",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::Closed => "closed",
        }
    }
}

/// A saga as operators read it. Since when and at which position it stands so is known to whoever reads the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    /// How it stands.
    pub status: Status,
    /// The step that is open or stuck.
    pub step: Option<Step>,
    /// Why a person is needed.
    pub cause: Option<Cause>,
    /// The same, for people.
    pub cause_detail: Option<String>,
    /// Why the order is called off.
    pub reason: Option<CancelReason>,
    /// What had not run when a person ended it.
    pub left_due: Vec<Step>,
    /// Why a person has ended it.
    pub closed_because: Option<String>,
    /// When it wants to be woken if nothing else happens.
    pub deadline: Option<Timestamp>,
    /// The effect that is open.
    pub pending: Option<Pending>,
    /// The definition it runs under.
    pub def: SagaDef,
    /// Every step, also those that are still to come.
    pub steps: Vec<StepView>,
    /// The payment's sums.
    pub money: Option<Ledger>,
    /// What it holds and has sold.
    pub stock: Vec<StockView>,
}

/// One step as operators read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepView {
    /// Which.
    pub step: Step,
    /// One of `waiting, in_flight, backing_off, awaiting_customer, done, refused, overtaken, stuck,
    /// skipped`.
    pub state: &'static str,
    /// Tries that have ended.
    pub tries: u32,
    /// How the last one ended.
    pub outcome: Option<Outcome>,
    /// The provider's idempotency key.
    pub effect_id: Option<EffectId>,
    /// For people.
    pub detail: Option<String>,
}

/// One line's units as the saga has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StockView {
    /// What.
    pub product_id: ProductId,
    /// How many were ordered.
    pub quantity: u32,
    /// How many are put aside for it now.
    pub held: u32,
    /// How many are sold to it.
    pub sold: u32,
}

/// The saga as operators read it; none if it was never started.
pub fn view(saga: &State, payment: &payment::State) -> Option<View> {
    let saga = saga.saga()?;
    let stuck = saga.stuck.as_ref();
    Some(View {
        status: saga.status(),
        step: saga
            .pending
            .as_ref()
            .map(|pending| pending.step)
            .or(stuck.map(|stuck| stuck.step)),
        cause: stuck.map(|stuck| stuck.cause),
        cause_detail: stuck.map(|stuck| stuck.detail.clone()),
        reason: match &saga.stage {
            Stage::Running | Stage::Completed => None,
            Stage::Unwinding(unwinding) => Some(unwinding.reason),
            Stage::Compensated { reason } => Some(*reason),
            Stage::Closed(ending) => ending.called_off,
        },
        left_due: match &saga.stage {
            Stage::Closed(ending) => ending.left_due.clone(),
            Stage::Running | Stage::Unwinding(_) | Stage::Completed | Stage::Compensated { .. } => {
                vec![]
            }
        },
        closed_because: match &saga.stage {
            Stage::Closed(ending) => Some(ending.reason.clone()),
            Stage::Running | Stage::Unwinding(_) | Stage::Completed | Stage::Compensated { .. } => {
                None
            }
        },
        deadline: saga.deadline(),
        pending: saga.pending.clone(),
        def: saga.def.clone(),
        steps: steps(saga),
        money: payment.ledger(),
        stock: stock(saga),
    })
}

fn steps(saga: &Saga) -> Vec<StepView> {
    let seen = saga.steps.iter().map(|record| StepView {
        step: record.step,
        state: match record.state {
            StepState::Done => "done",
            StepState::Refused => "refused",
            StepState::Overtaken => "overtaken",
            StepState::Stuck => "stuck",
            StepState::Skipped => "skipped",
            StepState::Open => match saga.pending.as_ref().map(|pending| pending.phase) {
                Some(Phase::Backoff { .. }) => "backing_off",
                Some(Phase::AwaitingCustomer { .. }) => "awaiting_customer",
                Some(Phase::InFlight { .. }) | None => "in_flight",
            },
        },
        tries: record.tries,
        outcome: record.outcome,
        effect_id: record.effect_id,
        detail: record.detail.clone(),
    });
    let to_come: Vec<Step> = match &saga.stage {
        Stage::Running => forward(saga.table()).map(|spec| spec.step).collect(),
        Stage::Unwinding(unwinding) => unwinding.due.clone(),
        Stage::Closed(ending) => ending.left_due.clone(),
        Stage::Completed | Stage::Compensated { .. } => vec![],
    };
    let waiting = to_come
        .into_iter()
        .filter(|step| saga.step(*step).is_none())
        .map(|step| StepView {
            step,
            state: "waiting",
            tries: 0,
            outcome: None,
            effect_id: None,
            detail: None,
        });
    seen.chain(waiting).collect()
}

fn stock(saga: &Saga) -> Vec<StockView> {
    let done = |step| {
        saga.step(step)
            .is_some_and(|record| record.state == StepState::Done)
    };
    let (sold, released) = (done(Step::Commit), done(Step::Release));
    let held = done(Step::Hold) && !sold && !released && !saga.has_ended();
    let units = |quantity, are| if are { quantity } else { 0 };
    saga.lines
        .iter()
        .map(|line| StockView {
            product_id: line.product_id,
            quantity: line.quantity,
            held: units(line.quantity, held),
            sold: units(line.quantity, sold),
        })
        .collect()
}
