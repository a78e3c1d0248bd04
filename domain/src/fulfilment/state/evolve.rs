//! What each event changes in the saga's state.

use std::collections::VecDeque;

use event_schema::fulfilment::{self as event, Event, OperatorVerb, Outcome, Step};

use super::{
    Ending, MOST_LATE_OUTCOMES, Pending, Phase, REMEMBERED_COMMANDS, Saga, Stage, State,
    StepRecord, StepState, Stuck, Unwinding,
};

impl State {
    pub(in crate::fulfilment) fn evolve(self, event: &Event) -> Self {
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
    pub(in crate::fulfilment) fn apply(&mut self, event: &Event) {
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
