//! The saga of an order, folded from its events into what operators are shown: the same status, steps and words as in
//! the bucket `saga_status`, which another role folds from the same events.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use event_schema::fulfilment::{
    Event, Intended, Line, NeedsOperator, OperatorCommanded, OperatorVerb, Outcome, Started, Step,
    StepEnded, UnwindingBegan,
};
use event_schema::ids::EffectId;
use event_schema::{Recorded, Timestamp};

/// The steps of a saga that goes forward.
const FORWARD: [Step; 4] = [Step::Authorise, Step::Hold, Step::Capture, Step::Commit];

/// As the column `saga` holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Saga {
    /// Events of the saga so far.
    pub version: i64,
    pub stage: Stage,
    /// What a person is needed for.
    pub stuck: Option<Stuck>,
    /// The effect that is open.
    pub pending: Option<Pending>,
    /// Since when the status holds.
    pub since: Timestamp,
    /// Position of the saga's last event.
    pub position: u64,
    /// Why it unwinds.
    pub reason: Option<String>,
    pub def: String,
    /// Every step that was opened.
    pub steps: Vec<StepRow>,
    /// Compensations that have not run.
    pub due: Vec<Step>,
    pub lines: Vec<StockLine>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    Running,
    Unwinding,
    Completed,
    Compensated,
    Closed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stuck {
    pub step: Step,
    pub cause: String,
    pub detail: String,
    /// Whether its effect was still open: nobody knows whether it happened.
    pub open: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    pub step: Step,
    /// The try that runs or comes next, from 1.
    pub attempt: u32,
    pub deadline: Timestamp,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StepRow {
    pub step: Step,
    /// waiting, in_flight, backing_off, awaiting_customer, done, refused, overtaken, stuck or skipped.
    pub state: String,
    pub tries: u32,
    pub outcome: Option<String>,
    pub effect_id: Option<EffectId>,
    pub detail: Option<String>,
}

/// What one line needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StockLine {
    pub product_id: Uuid,
    pub quantity: u32,
}

/// Folds the next event in; the first one begins the saga.
pub(super) fn fold(
    saga: Option<Saga>,
    event: Event,
    recorded: &Recorded,
) -> Result<Saga, &'static str> {
    let at = recorded.metadata.occurred_at;
    let mut saga = match (saga, event) {
        (None, Event::Started(started)) => Saga::begin(started, at),
        (Some(saga), Event::Started(_)) => saga,
        (None, _) => return Err("the saga was never started"),
        (Some(mut saga), event) => {
            let before = saga.status();
            saga.go_on(event);
            if saga.status() != before {
                saga.since = at;
            }
            saga
        }
    };
    saga.position = recorded.position.0;
    Ok(saga)
}

impl Saga {
    /// running, unwinding, needs_operator, completed, compensated or closed.
    pub fn status(&self) -> &'static str {
        match (self.stage, &self.stuck) {
            (Stage::Completed, _) => "completed",
            (Stage::Compensated, _) => "compensated",
            (Stage::Closed, _) => "closed",
            (Stage::Running | Stage::Unwinding, Some(_)) => "needs_operator",
            (Stage::Running, None) => "running",
            (Stage::Unwinding, None) => "unwinding",
        }
    }

    /// The step that is under way or stuck.
    pub fn step(&self) -> Option<Step> {
        self.pending
            .map(|pending| pending.step)
            .or_else(|| self.stuck.as_ref().map(|stuck| stuck.step))
    }

    /// When it is looked into at the latest.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.pending.map(|pending| pending.deadline)
    }

    /// Why, in words: what a person is needed for, else what was seen last.
    pub fn detail(&self) -> Option<&str> {
        let stuck = self.stuck.as_ref().map(|stuck| stuck.detail.as_str());
        stuck.or_else(|| {
            self.steps
                .iter()
                .rev()
                .find_map(|step| step.detail.as_deref())
        })
    }

    /// Every step, also those that are still to come.
    pub fn all_steps(&self) -> Vec<StepRow> {
        let to_come: &[Step] = match self.stage {
            Stage::Running => &FORWARD,
            // What a person has left due stays to be read.
            Stage::Unwinding | Stage::Closed => &self.due,
            Stage::Completed | Stage::Compensated => &[],
        };
        let opened = |step: Step| self.steps.iter().any(|row| row.step == step);
        let waiting = to_come
            .iter()
            .filter(|step| !opened(**step))
            .map(|step| StepRow::new(*step, "waiting"));
        self.steps.iter().cloned().chain(waiting).collect()
    }

    /// Units of each line that are held now, and sold.
    pub fn stock(&self) -> impl Iterator<Item = (StockLine, u32, u32)> {
        let done = |step: Step| {
            self.steps
                .iter()
                .any(|row| row.step == step && row.state == "done")
        };
        let sold = done(Step::Commit);
        let over = matches!(
            self.stage,
            Stage::Completed | Stage::Compensated | Stage::Closed
        );
        let held = done(Step::Hold) && !sold && !done(Step::Release) && !over;
        let units = |quantity, are: bool| if are { quantity } else { 0 };
        self.lines.iter().map(move |line| {
            (
                *line,
                units(line.quantity, held),
                units(line.quantity, sold),
            )
        })
    }

    fn begin(started: Started, at: Timestamp) -> Self {
        let stock = |line: Line| StockLine {
            product_id: line.product_id.uuid(),
            quantity: line.quantity,
        };
        Self {
            version: 0,
            stage: Stage::Running,
            stuck: None,
            pending: None,
            since: at,
            position: 0,
            reason: None,
            def: started.def.to_string(),
            steps: Vec::new(),
            due: Vec::new(),
            lines: started.lines.into_iter().map(stock).collect(),
        }
    }

    fn go_on(&mut self, event: Event) {
        // Nothing brings a saga back that a person has ended.
        if self.stage == Stage::Closed {
            return;
        }
        match event {
            Event::Started(_) => {}
            Event::Intended(e) => self.intend(&e),
            Event::CustomerAwaited(e) => {
                // A page that is found open after a person was told is waited for like any other.
                let told = self
                    .stuck
                    .take()
                    .map(|_| self.row(e.step).tries.saturating_add(1));
                let tries = self.pending.map(|pending| pending.attempt).or(told);
                let tries = tries.unwrap_or(0);
                self.pending = Some(Pending {
                    step: e.step,
                    attempt: tries.saturating_add(1),
                    deadline: e.deadline,
                });
                let row = self.row(e.step);
                row.state = "awaiting_customer".into();
                row.effect_id = Some(e.effect_id);
                row.tries = tries;
            }
            Event::AttemptEnded(e) => {
                let open = self.pending.is_some();
                if open {
                    let attempt = e.attempt.saturating_add(1);
                    self.pending = Some(Pending {
                        step: e.step,
                        attempt,
                        deadline: e.deadline,
                    });
                }
                let row = self.row(e.step);
                if open {
                    row.state = "backing_off".into();
                }
                row.tries = e.attempt;
                row.outcome = Some(e.outcome.as_str().to_owned());
                row.detail = Some(e.detail);
            }
            Event::StepEnded(e) => self.end_step(e),
            Event::UnwindingBegan(e) => self.unwind(e),
            Event::NeedsOperator(e) => self.need_operator(e),
            Event::Completed(_) => self.end(Stage::Completed),
            Event::Compensated(e) => {
                self.reason = Some(e.reason.as_str().to_owned());
                self.end(Stage::Compensated);
            }
            Event::OperatorCommanded(e) => self.command(&e),
            Event::Closed(e) => {
                self.due = e.left_due;
                self.end(Stage::Closed);
            }
            // Told after the end: it is in the payment's own events.
            Event::LateOutcomeRecorded(_) => {}
        }
    }

    fn intend(&mut self, intended: &Intended) {
        // The same step under a new effect id goes on counting; another step starts anew.
        let before = self
            .pending
            .take()
            .filter(|pending| pending.step == intended.step);
        // What a person has tried again goes on counting too.
        let stuck = self.stuck.take();
        let again = self.row(intended.step).effect_id == Some(intended.effect_id);
        let so_far = self.row(intended.step).tries;
        let tries = match (before, stuck) {
            (Some(before), _) => before.attempt,
            // Its last try has ended without being counted: it was the one that used the budget up.
            (None, Some(stuck)) if again && stuck.open => so_far.saturating_add(1),
            (None, _) if again => so_far,
            (None, _) => 0,
        };
        self.pending = Some(Pending {
            step: intended.step,
            attempt: tries.saturating_add(1),
            deadline: intended.deadline,
        });
        let row = self.row(intended.step);
        *row = StepRow {
            effect_id: Some(intended.effect_id),
            tries,
            ..StepRow::new(intended.step, "in_flight")
        };
        // Money that turned out to be taken cannot be let go any more: giving it back is due in its place.
        if intended.step == Step::Refund {
            for due in &mut self.due {
                if *due == Step::Void {
                    *due = Step::Refund;
                }
            }
        }
    }

    fn end_step(&mut self, ended: StepEnded) {
        if self
            .pending
            .is_some_and(|pending| pending.step == ended.step)
        {
            self.pending = None;
        }
        if self
            .stuck
            .as_ref()
            .is_some_and(|stuck| stuck.step == ended.step)
        {
            self.stuck = None;
        }
        if ended.outcome == Outcome::Ok {
            self.due.retain(|due| *due != ended.step);
        }
        let row = self.row(ended.step);
        row.state = match ended.outcome {
            Outcome::Ok => "done",
            Outcome::Refused => "refused",
            Outcome::Retry | Outcome::Unknown => "in_flight",
        }
        .into();
        row.effect_id = ended.effect_id.or(row.effect_id);
        row.tries = ended.attempt;
        row.outcome = Some(ended.outcome.as_str().to_owned());
        row.detail = ended.detail;
    }

    fn unwind(&mut self, began: UnwindingBegan) {
        let pending = self.pending.take().map(|pending| pending.step);
        let stuck = self.stuck.take().map(|stuck| stuck.step);
        if let Some(step) = pending.or(stuck) {
            self.row(step).state = "overtaken".into();
        }
        self.stage = Stage::Unwinding;
        self.reason = Some(began.reason.as_str().to_owned());
        self.due = began.plan;
    }

    fn need_operator(&mut self, needs: NeedsOperator) {
        let open = self.pending.take().is_some();
        let row = self.row(needs.step);
        row.state = "stuck".into();
        row.detail = Some(needs.detail.clone());
        let cause = needs.cause.as_str().to_owned();
        self.stuck = Some(Stuck {
            step: needs.step,
            cause,
            detail: needs.detail,
            open,
        });
    }

    fn command(&mut self, commanded: &OperatorCommanded) {
        let (OperatorVerb::Skip, Some(step)) = (commanded.command, commanded.step) else {
            return;
        };
        if self.stuck.as_ref().is_some_and(|stuck| stuck.step == step) {
            self.stuck = None;
        }
        self.due.retain(|due| *due != step);
        self.row(step).state = "skipped".into();
    }

    fn end(&mut self, stage: Stage) {
        self.stage = stage;
        self.pending = None;
        self.stuck = None;
    }

    fn row(&mut self, step: Step) -> &mut StepRow {
        let at = self
            .steps
            .iter()
            .position(|row| row.step == step)
            .unwrap_or_else(|| {
                self.steps.push(StepRow::new(step, "in_flight"));
                self.steps.len() - 1
            });
        &mut self.steps[at]
    }
}

impl StepRow {
    fn new(step: Step, state: &str) -> Self {
        Self {
            step,
            state: state.to_owned(),
            tries: 0,
            outcome: None,
            effect_id: None,
            detail: None,
        }
    }
}
