//! What the saga remembers: its terms, its stage, every step so far, and the one effect that is open.

use event_schema::fulfilment::{self as event, Cause, Event, Line, Outcome, Step};
use event_schema::ids::EffectId;
use event_schema::order::{CancelReason, PaymentMethod};
use event_schema::{Money, SagaDef, Timestamp};
use serde::{Deserialize, Serialize};

use super::steps::{Kind, forward};
use super::view::Status;

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

impl State {
    /// The saga, if it was started.
    pub fn saga(&self) -> Option<&Saga> {
        match self {
            Self::NotStarted => None,
            Self::Started(saga) => Some(saga),
        }
    }

    /// The effect that is open.
    pub fn pending(&self) -> Option<&Pending> {
        self.saga()?.pending.as_ref()
    }

    /// When the saga wants to be woken if nothing else happens.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.saga()?.deadline()
    }

    pub(super) fn evolve(self, event: &Event) -> Self {
        match (self, event) {
            (_, Event::Started(e)) => Self::Started(Box::new(Saga {
                def: e.def.clone(),
                provider: e.provider.clone(),
                method: e.method.clone(),
                total: e.total,
                lines: e.lines.clone(),
                stage: Stage::Running,
                steps: vec![],
                pending: None,
                stuck: None,
            })),
            (Self::Started(mut saga), event) => {
                saga.apply(event);
                Self::Started(saga)
            }
            (Self::NotStarted, _) => Self::NotStarted,
        }
    }
}

impl Saga {
    /// The saga's status in the words of the API.
    pub fn status(&self) -> Status {
        match (&self.stage, &self.stuck) {
            (Stage::Completed, _) => Status::Completed,
            (Stage::Compensated { .. }, _) => Status::Compensated,
            (Stage::Running | Stage::Unwinding(_), Some(_)) => Status::NeedsOperator,
            (Stage::Running, None) => Status::Running,
            (Stage::Unwinding(_), None) => Status::Unwinding,
        }
    }

    /// When the saga wants to be woken if nothing else happens.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.pending.as_ref().map(|pending| pending.phase.until())
    }

    /// A step's record, if it was ever opened.
    pub fn step(&self, step: Step) -> Option<&StepRecord> {
        self.steps.iter().find(|record| record.step == step)
    }

    /// Whether the saga has ended.
    pub fn has_ended(&self) -> bool {
        match self.stage {
            Stage::Completed | Stage::Compensated { .. } => true,
            Stage::Running | Stage::Unwinding(_) => false,
        }
    }

    /// Whether the capture's intent is recorded: from there it only goes forward, unless it is refused for good.
    pub fn is_past_no_return(&self) -> bool {
        self.step(Step::Capture)
            .is_some_and(|capture| capture.state != StepState::Refused)
    }

    /// The compensations that are due if the saga turns back now: of each forward step that may have happened, the
    /// latest first.
    pub(super) fn plan(&self) -> Vec<Step> {
        let may_have_happened = |step| {
            self.step(step).is_some_and(|record| match record.state {
                StepState::Open | StepState::Done | StepState::Overtaken | StepState::Stuck => true,
                StepState::Refused => false,
            })
        };
        forward()
            .rev()
            .filter(|spec| may_have_happened(spec.step))
            .filter_map(|spec| match spec.kind {
                Kind::Compensable { made_up_for_by } | Kind::Pivot { made_up_for_by } => {
                    Some(made_up_for_by.step())
                }
                Kind::Retriable | Kind::Compensating => None,
            })
            .collect()
    }

    /// The compensations that must run before the saga may end without the order.
    pub(super) fn due(&self) -> Vec<Step> {
        match &self.stage {
            Stage::Running => self.plan(),
            Stage::Unwinding(unwinding) => unwinding.due.clone(),
            Stage::Completed | Stage::Compensated { .. } => vec![],
        }
    }

    /// The effect that an answer may still end: the open one, or the one a person is asked about because nobody knew.
    pub(super) fn open(&self, step: Step, effect_id: EffectId) -> Option<&Pending> {
        let open = match (&self.pending, &self.stuck) {
            (Some(pending), _) => Some(pending),
            (None, Some(stuck)) => match stuck.cause {
                Cause::PaymentUnknown | Cause::RetriesExhausted => stuck.open.as_ref(),
                Cause::RefundRefused
                | Cause::VoidRefused
                | Cause::AmountMismatch
                | Cause::Poisoned
                | Cause::VersionUnsupported => None,
            },
            (None, None) => None,
        };
        open.filter(|open| open.step == step && open.effect_id == effect_id)
    }

    fn record(&mut self, step: Step) -> &mut StepRecord {
        let at = self
            .steps
            .iter()
            .position(|record| record.step == step)
            .unwrap_or_else(|| {
                self.steps.push(StepRecord {
                    step,
                    state: StepState::Open,
                    effect_id: None,
                    opening: 0,
                    tries: 0,
                    outcome: None,
                    detail: None,
                });
                self.steps.len() - 1
            });
        &mut self.steps[at]
    }

    // History happened: no event is argued with. Only an end while a compensation is due is not believed.
    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::Started(_) => {}
            Event::Intended(e) => self.intended(e),
            Event::CustomerAwaited(e) => {
                if let Some(pending) = &mut self.pending {
                    pending.attempt = pending.attempt.saturating_add(1);
                    pending.phase = Phase::AwaitingCustomer { until: e.deadline };
                    pending.budget_used_ms = 0;
                    pending.customer_until = Some(e.deadline);
                    let tries = pending.attempt.saturating_sub(1);
                    let record = self.record(e.step);
                    record.tries = tries;
                }
            }
            Event::AttemptEnded(e) => {
                if let Some(pending) = &mut self.pending {
                    pending.attempt = e.attempt.saturating_add(1);
                    pending.phase = Phase::Backoff { until: e.deadline };
                    pending.budget_used_ms = e.budget_used_ms;
                }
                let record = self.record(e.step);
                record.tries = e.attempt;
                record.outcome = Some(e.outcome);
                record.detail = Some(e.detail.clone());
            }
            Event::StepEnded(e) => self.step_ended(e),
            Event::UnwindingBegan(e) => {
                let overtaken = self
                    .pending
                    .take()
                    .or(self.stuck.take().and_then(|stuck| stuck.open));
                if let Some(overtaken) = overtaken {
                    self.record(overtaken.step).state = StepState::Overtaken;
                }
                self.stage = Stage::Unwinding(Unwinding {
                    reason: e.reason,
                    detail: e.detail.clone(),
                    plan: e.plan.clone(),
                    due: e.plan.clone(),
                });
            }
            Event::NeedsOperator(e) => {
                let open = self.pending.take();
                self.stuck = Some(Stuck {
                    step: e.step,
                    cause: e.cause,
                    detail: e.detail.clone(),
                    open,
                });
                let record = self.record(e.step);
                record.state = StepState::Stuck;
                record.detail = Some(e.detail.clone());
            }
            Event::Completed(_) => {
                if matches!(self.stage, Stage::Running) {
                    self.end(Stage::Completed);
                }
            }
            Event::Compensated(e) => {
                if self.due().is_empty() {
                    self.end(Stage::Compensated { reason: e.reason });
                }
            }
        }
    }

    fn intended(&mut self, e: &event::Intended) {
        // The same step under a new effect id goes on counting; another step starts anew.
        let before = self.pending.take().filter(|pending| pending.step == e.step);
        self.stuck = None;
        self.pending = Some(Pending {
            step: e.step,
            effect_id: e.effect_id,
            opening: e.opening,
            intent_deadline: e.deadline,
            attempt: before
                .as_ref()
                .map_or(1, |before| before.attempt.saturating_add(1)),
            phase: Phase::InFlight { until: e.deadline },
            budget_used_ms: before.as_ref().map_or(0, |before| before.budget_used_ms),
            customer_until: None,
        });
        let record = self.record(e.step);
        record.state = StepState::Open;
        record.effect_id = Some(e.effect_id);
        record.opening = e.opening;
        record.tries = before.map_or(0, |before| before.attempt);
        record.outcome = None;
        record.detail = None;
        // Money that turned out to be taken cannot be let go any more: giving it back is due in its place.
        if let (Step::Refund, Stage::Unwinding(unwinding)) = (e.step, &mut self.stage) {
            for due in &mut unwinding.due {
                if *due == Step::Void {
                    *due = Step::Refund;
                }
            }
        }
    }

    fn step_ended(&mut self, e: &event::StepEnded) {
        if self
            .pending
            .as_ref()
            .is_some_and(|pending| pending.step == e.step)
        {
            self.pending = None;
        }
        if self
            .stuck
            .as_ref()
            .is_some_and(|stuck| stuck.step == e.step)
        {
            self.stuck = None;
        }
        let record = self.record(e.step);
        record.state = match e.outcome {
            Outcome::Ok => StepState::Done,
            Outcome::Refused => StepState::Refused,
            Outcome::Retry | Outcome::Unknown => StepState::Open,
        };
        record.effect_id = e.effect_id.or(record.effect_id);
        record.tries = e.attempt;
        record.outcome = Some(e.outcome);
        record.detail = e.detail.clone();
        if let (Outcome::Ok, Stage::Unwinding(unwinding)) = (e.outcome, &mut self.stage) {
            unwinding.due.retain(|due| *due != e.step);
        }
    }

    fn end(&mut self, stage: Stage) {
        self.stage = stage;
        self.pending = None;
        self.stuck = None;
    }
}
