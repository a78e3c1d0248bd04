//! What the saga remembers: its terms, its stage, every step so far, and the one effect that is open.

use std::collections::VecDeque;

use event_schema::fulfilment::{self as event, Cause, Event, Line, OperatorVerb, Outcome, Step};
use event_schema::ids::{CommandId, EffectId};
use event_schema::order::{CancelReason, PaymentMethod};
use event_schema::{Money, SagaDef, Timestamp};
use serde::{Deserialize, Serialize};

use super::steps::{Kind, Place, StepSpec, forward, table};
use super::view::Status;

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
                commands: VecDeque::new(),
                late: vec![],
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
            (Stage::Closed(_), _) => Status::Closed,
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

    /// Whether an effect is the newest one of a step.
    pub(super) fn knows(&self, effect_id: EffectId) -> bool {
        self.steps
            .iter()
            .any(|record| record.effect_id == Some(effect_id))
    }

    /// Whether the saga has ended.
    pub fn has_ended(&self) -> bool {
        match self.stage {
            Stage::Completed | Stage::Compensated { .. } | Stage::Closed(_) => true,
            Stage::Running | Stage::Unwinding(_) => false,
        }
    }

    /// Whether the capture's intent is recorded: from there it only goes forward, unless it is refused for good.
    pub fn is_past_no_return(&self) -> bool {
        self.step(Step::Capture)
            .is_some_and(|capture| capture.state != StepState::Refused)
    }

    /// A remembered command of an operator.
    pub fn command(&self, id: CommandId) -> Option<&event::OperatorCommanded> {
        self.commands
            .iter()
            .find(|command| command.command_id == id)
    }

    /// The table that it ends as.
    pub(super) fn table(&self) -> &'static [StepSpec] {
        table(&self.def)
    }

    /// Where a step's work is done.
    pub(super) fn place(&self, step: Step) -> Place {
        self.table()
            .iter()
            .find(|spec| spec.step == step)
            .map_or(Place::Provider, |spec| spec.place)
    }

    /// Whether a step makes up for another.
    pub(super) fn is_compensation(&self, step: Step) -> bool {
        self.table()
            .iter()
            .any(|spec| spec.step == step && matches!(spec.kind, Kind::Compensating))
    }

    /// The compensations that are due if the saga turns back now: of each forward step that may have happened, the
    /// latest first; those inside before those at the provider, which nothing inside may have to wait for.
    pub(super) fn plan(&self) -> Vec<Step> {
        let steps = self.table();
        let may_have_happened = |step| {
            self.step(step).is_some_and(|record| match record.state {
                StepState::Open | StepState::Done | StepState::Overtaken | StepState::Stuck => true,
                StepState::Refused | StepState::Skipped => false,
            })
        };
        let mut plan: Vec<Step> = forward(steps)
            .rev()
            .filter(|spec| may_have_happened(spec.step))
            .filter_map(|spec| match spec.kind {
                Kind::Compensable { made_up_for_by } | Kind::Pivot { made_up_for_by } => {
                    Some(made_up_for_by.step())
                }
                Kind::Retriable | Kind::Compensating => None,
            })
            .collect();
        // Money that is certainly taken cannot be let go any more.
        let taken = self
            .step(Step::Capture)
            .is_some_and(|capture| capture.state == StepState::Done);
        if taken {
            plan.retain(|step| *step != Step::Void);
        }
        plan.sort_by_key(|step| match self.place(*step) {
            Place::Inside => 0,
            Place::Provider => 1,
        });
        plan
    }

    /// The compensations that must run before the saga may end without the order.
    pub(super) fn due(&self) -> Vec<Step> {
        match &self.stage {
            Stage::Running => self.plan(),
            Stage::Unwinding(unwinding) => unwinding.due.clone(),
            Stage::Completed | Stage::Compensated { .. } | Stage::Closed(_) => vec![],
        }
    }

    /// Why a person has settled a step outside, if one was: such a saga ends closed.
    pub(super) fn skipped_because(&self) -> Option<&str> {
        let skip = |command: &&event::OperatorCommanded| command.command == OperatorVerb::Skip;
        let last = self.commands.iter().rev().find(skip)?;
        let skipped = |record: &StepRecord| record.state == StepState::Skipped;
        self.steps
            .iter()
            .any(skipped)
            .then_some(last.reason.as_str())
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
                    refusals: 0,
                    outcome: None,
                    detail: None,
                });
                self.steps.len() - 1
            });
        &mut self.steps[at]
    }

    // History happened: no event is argued with. Only an end while a compensation is due is not believed, and nothing
    // brings a saga back that a person has ended.
    pub(super) fn apply(&mut self, event: &Event) {
        let closed = matches!(self.stage, Stage::Closed(_));
        match event {
            Event::OperatorCommanded(e) => self.commanded(e),
            Event::LateOutcomeRecorded(e) => {
                if self.late.len() < MOST_LATE_OUTCOMES {
                    self.late.push(e.clone());
                }
            }
            Event::Started(_)
            | Event::Intended(_)
            | Event::CustomerAwaited(_)
            | Event::AttemptEnded(_)
            | Event::StepEnded(_)
            | Event::UnwindingBegan(_)
            | Event::NeedsOperator(_)
            | Event::Completed(_)
            | Event::Compensated(_)
            | Event::Closed(_)
                if closed => {}
            Event::Started(_) => {}
            Event::Intended(e) => self.intended(e),
            Event::CustomerAwaited(e) => {
                // A page that is found open after a person was told is waited for like any other.
                if self.pending.is_none() {
                    self.pending = self.stuck.take().and_then(|stuck| stuck.open);
                }
                if let Some(pending) = &mut self.pending {
                    pending.attempt = pending.attempt.saturating_add(1);
                    pending.phase = Phase::AwaitingCustomer { until: e.deadline };
                    pending.budget_used_ms = 0;
                    pending.customer_until = Some(e.deadline);
                    let tries = pending.attempt.saturating_sub(1);
                    let record = self.record(e.step);
                    record.state = StepState::Open;
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
                let pending = self.pending.take().map(|pending| pending.step);
                let stuck = self.stuck.take().map(|stuck| stuck.step);
                if let Some(overtaken) = pending.or(stuck) {
                    self.record(overtaken).state = StepState::Overtaken;
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
            Event::Closed(e) => {
                let called_off = match &self.stage {
                    Stage::Unwinding(unwinding) => Some(unwinding.reason),
                    Stage::Compensated { reason } => Some(*reason),
                    Stage::Running | Stage::Completed | Stage::Closed(_) => None,
                };
                self.end(Stage::Closed(Ending {
                    left_due: e.left_due.clone(),
                    reason: e.reason.clone(),
                    called_off,
                }));
            }
        }
    }

    fn commanded(&mut self, e: &event::OperatorCommanded) {
        if self.commands.len() >= REMEMBERED_COMMANDS {
            self.commands.pop_front();
        }
        self.commands.push_back(e.clone());
        let (OperatorVerb::Skip, Some(step)) = (e.command, e.step) else {
            return;
        };
        if self.stuck.as_ref().is_some_and(|stuck| stuck.step == step) {
            self.stuck = None;
        }
        self.record(step).state = StepState::Skipped;
        if let Stage::Unwinding(unwinding) = &mut self.stage {
            unwinding.due.retain(|due| *due != step);
        }
    }

    fn intended(&mut self, e: &event::Intended) {
        // The same step under a new effect id goes on counting; another step starts anew. What a person has tried
        // again goes on counting too, so that no two tries of one effect are ever taken for one, but its budget is
        // fresh.
        let stuck = self.stuck.take();
        let fresh = stuck.is_some();
        let before = self
            .pending
            .take()
            .or(stuck.and_then(|stuck| stuck.open))
            .filter(|before| before.step == e.step);
        let record = self.record(e.step);
        let again = record.effect_id == Some(e.effect_id);
        let tries_so_far = if again { record.tries } else { 0 };
        let tries = before
            .as_ref()
            .map_or(tries_so_far, |before| before.attempt.max(tries_so_far));
        record.state = StepState::Open;
        record.effect_id = Some(e.effect_id);
        record.opening = e.opening;
        record.tries = tries;
        if !again {
            record.refusals = 0;
        }
        record.outcome = None;
        record.detail = None;
        let kept = before.as_ref().filter(|_| !fresh);
        self.pending = Some(Pending {
            step: e.step,
            effect_id: e.effect_id,
            opening: e.opening,
            // A call that is made again has the key of the first one.
            intent_deadline: before
                .as_ref()
                .filter(|before| before.effect_id == e.effect_id)
                .map_or(e.deadline, |before| before.intent_deadline),
            first_opening: kept.map_or(e.opening, |before| before.first_opening),
            attempt: tries.saturating_add(1),
            phase: Phase::InFlight { until: e.deadline },
            budget_used_ms: kept.map_or(0, |before| before.budget_used_ms),
            customer_until: before
                .filter(|_| again)
                .and_then(|before| before.customer_until),
        });
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
        if e.outcome == Outcome::Refused {
            record.refusals = record.refusals.saturating_add(1);
        }
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
