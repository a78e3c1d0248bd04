//! The saga of an order, folded from its events into what operators are shown.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use event_schema::fulfilment::{AttemptEnded, Event, Intended, Line, Outcome, Started, Step, StepEnded};
use event_schema::ids::EffectId;
use event_schema::{Recorded, Timestamp};

/// As the column `saga` holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Saga {
    /// running, unwinding, needs_operator, completed or compensated.
    pub status: String,
    /// The step that is under way or stuck.
    pub step: Option<Step>,
    pub cause: Option<String>,
    /// Since when the status holds.
    pub since: Timestamp,
    /// Position of the saga's last event.
    pub position: u64,
    /// When it is looked into at the latest.
    pub deadline: Option<Timestamp>,
    /// Why it unwinds.
    pub reason: Option<String>,
    /// Why, in words.
    pub detail: Option<String>,
    pub def: String,
    pub unwinding: bool,
    pub steps: Vec<StepRow>,
    pub stock: Vec<StockRow>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StepRow {
    pub step: Step,
    /// waiting, running, awaiting_customer, done, refused, stuck or undone.
    pub state: String,
    pub tries: u32,
    pub outcome: Option<String>,
    pub effect_id: Option<EffectId>,
}

/// Where the units of one line are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StockRow {
    pub product_id: Uuid,
    pub quantity: u32,
    pub held: u32,
    pub sold: u32,
}

/// Folds the next event in; the first one begins the saga.
pub(super) fn fold(saga: Option<Saga>, event: Event, recorded: &Recorded) -> Result<Saga, &'static str> {
    let at = recorded.metadata.occurred_at;
    let mut saga = match (saga, event) {
        (None, Event::Started(started)) => Saga::begin(started, at),
        (Some(saga), Event::Started(_)) => saga,
        (None, _) => return Err("the saga was never started"),
        (Some(mut saga), event) => {
            saga.go_on(event, at);
            saga
        }
    };
    saga.position = recorded.position.0;
    Ok(saga)
}

impl Saga {
    fn begin(started: Started, at: Timestamp) -> Self {
        let stock = |line: Line| StockRow {
            product_id: line.product_id.uuid(),
            quantity: line.quantity,
            held: 0,
            sold: 0,
        };
        Self {
            status: "running".into(),
            step: None,
            cause: None,
            since: at,
            position: 0,
            deadline: None,
            reason: None,
            detail: None,
            def: started.def.to_string(),
            unwinding: false,
            steps: Vec::new(),
            stock: started.lines.into_iter().map(stock).collect(),
        }
    }

    fn go_on(&mut self, event: Event, at: Timestamp) {
        match event {
            Event::Started(_) => {}
            Event::Intended(e) => self.intend(&e, at),
            Event::CustomerAwaited(e) => {
                self.under_way(e.step, at);
                self.deadline = Some(e.deadline);
                let row = self.row(e.step);
                row.state = "awaiting_customer".into();
                row.effect_id = Some(e.effect_id);
            }
            Event::AttemptEnded(e) => self.end_attempt(e, at),
            Event::StepEnded(e) => self.end_step(e, at),
            Event::UnwindingBegan(e) => {
                self.unwinding = true;
                self.enter("unwinding", at);
                self.reason = Some(e.reason.as_str().to_owned());
                self.detail = e.detail;
                self.deadline = None;
                self.step = e.plan.first().copied().or(self.step);
                for step in e.plan {
                    self.row(step);
                }
            }
            Event::NeedsOperator(e) => {
                self.enter("needs_operator", at);
                self.step = Some(e.step);
                self.cause = Some(e.cause.as_str().to_owned());
                self.detail = Some(e.detail);
                self.deadline = None;
                self.row(e.step).state = "stuck".into();
            }
            Event::Completed(_) => self.finish("completed", at),
            Event::Compensated(e) => {
                self.reason = Some(e.reason.as_str().to_owned());
                self.finish("compensated", at);
            }
        }
    }

    fn intend(&mut self, intended: &Intended, at: Timestamp) {
        self.under_way(intended.step, at);
        self.deadline = Some(intended.deadline);
        let row = self.row(intended.step);
        row.state = "running".into();
        row.effect_id = Some(intended.effect_id);
    }

    fn end_attempt(&mut self, ended: AttemptEnded, at: Timestamp) {
        self.under_way(ended.step, at);
        self.deadline = Some(ended.deadline);
        let row = self.row(ended.step);
        // A customer who is awaited stays awaited while a look-up has no answer.
        if row.state != "awaiting_customer" {
            row.state = "running".into();
        }
        row.tries = ended.attempt;
        row.outcome = Some(ended.outcome.as_str().to_owned());
        row.effect_id = Some(ended.effect_id);
        self.detail = Some(ended.detail);
    }

    fn end_step(&mut self, ended: StepEnded, at: Timestamp) {
        let ok = ended.outcome == Outcome::Ok;
        self.under_way(ended.step, at);
        self.deadline = None;
        let row = self.row(ended.step);
        row.state = if ok { "done" } else { "refused" }.into();
        row.tries = ended.attempt;
        row.outcome = Some(ended.outcome.as_str().to_owned());
        row.effect_id = ended.effect_id.or(row.effect_id);
        if let Some(detail) = ended.detail {
            self.detail = Some(detail);
        }
        if ok {
            self.take_effect(ended.step);
        }
    }

    fn take_effect(&mut self, step: Step) {
        match step {
            Step::Hold => self.stock.iter_mut().for_each(|line| line.held = line.quantity),
            Step::Commit => self.stock.iter_mut().for_each(|line| {
                line.sold = line.quantity;
                line.held = 0;
            }),
            Step::Release => {
                self.stock.iter_mut().for_each(|line| line.held = 0);
                self.undo(Step::Hold);
            }
            Step::Void => self.undo(Step::Authorise),
            Step::Refund => self.undo(Step::Capture),
            Step::Authorise | Step::Capture => {}
        }
    }

    /// A step that was done is made up for.
    fn undo(&mut self, step: Step) {
        if let Some(row) = self.steps.iter_mut().find(|row| row.step == step && row.state == "done") {
            row.state = "undone".into();
        }
    }

    /// Something happens: whoever was needed has acted.
    fn under_way(&mut self, step: Step, at: Timestamp) {
        self.step = Some(step);
        self.cause = None;
        let status = if self.unwinding { "unwinding" } else { "running" };
        self.enter(status, at);
    }

    fn finish(&mut self, status: &str, at: Timestamp) {
        self.enter(status, at);
        self.step = None;
        self.cause = None;
        self.deadline = None;
    }

    fn enter(&mut self, status: &str, at: Timestamp) {
        if self.status != status {
            status.clone_into(&mut self.status);
            self.since = at;
        }
    }

    fn row(&mut self, step: Step) -> &mut StepRow {
        let at = self.steps.iter().position(|row| row.step == step).unwrap_or_else(|| {
            self.steps.push(StepRow { step, state: "waiting".into(), tries: 0, outcome: None, effect_id: None });
            self.steps.len() - 1
        });
        &mut self.steps[at]
    }
}
