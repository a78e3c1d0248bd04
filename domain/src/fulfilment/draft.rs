//! A batch in the making: each event is decided by its own decider on the state that the batch has reached so far.

use event_schema::fulfilment::{self as event, Cause, Event, Outcome, Step};
use event_schema::ids::{EffectId, ProductId};
use event_schema::inventory::ReleaseCause;
use event_schema::order::CancelReason;
use event_schema::{Decider, Timestamp};

use super::policy::after;
use super::steps::{Place, forward};
use super::{Decision, Policy, Rejection, Saga, Stage, StepState, World};
use crate::inventory::{self, Inventory};
use crate::order::{self, Order};
use crate::payment::{self, Payment};

/// Longest text kept of what an outsider said, in characters.
const LONGEST_DETAIL_CHARS: usize = 500;

/// A batch in the making.
pub(super) struct Draft<'a> {
    pub(super) world: World<'a>,
    pub(super) now: Timestamp,
    pub(super) policy: &'a Policy,
    /// The saga as the batch leaves it so far.
    pub(super) saga: Saga,
    /// The payment as the batch leaves it so far.
    pub(super) payment: payment::State,
    decision: Decision,
}

impl<'a> Draft<'a> {
    pub(super) fn new(world: World<'a>, saga: &Saga, now: Timestamp, policy: &'a Policy) -> Self {
        let (saga, payment) = (saga.clone(), world.payment.clone());
        Self {
            world,
            now,
            policy,
            saga,
            payment,
            decision: Decision::default(),
        }
    }

    pub(super) fn into_decision(self) -> Decision {
        self.decision
    }

    fn record(&mut self, event: impl Into<Event>) {
        let event = event.into();
        self.saga.apply(&event);
        self.decision.saga.push(event);
    }

    /// What the payment makes of a command.
    pub(super) fn payment(
        &mut self,
        command: impl Into<payment::Command>,
    ) -> Result<(), Rejection> {
        for event in Payment::decide(&self.payment, command.into())? {
            self.payment = Payment::evolve(std::mem::take(&mut self.payment), &event);
            self.decision.payment.push(event);
        }
        Ok(())
    }

    /// What the order makes of a command.
    fn order(&mut self, command: impl Into<order::Command>) -> Result<(), Rejection> {
        let events = match self.decision.order.as_slice() {
            [] => Order::decide(self.world.order, command.into())?,
            so_far => {
                let order = so_far.iter().fold(self.world.order.clone(), Order::evolve);
                Order::decide(&order, command.into())?
            }
        };
        self.decision.order.extend(events);
        Ok(())
    }

    /// What the stock of every line makes of a command each, all or none.
    pub(super) fn stock<C: Into<inventory::Command>>(
        &mut self,
        command: impl Fn(&event::Line) -> C,
    ) -> Result<Vec<(event::Line, inventory::Rejection)>, Rejection> {
        let (decided, refused) = self.ask_stock(|line, _| Some(command(line)))?;
        if refused.is_empty() {
            self.keep(decided);
        }
        Ok(refused)
    }

    /// What the stock of the lines that are meant makes of a command each, every line by itself.
    pub(super) fn stock_by_line<C: Into<inventory::Command>>(
        &mut self,
        command: impl FnMut(&event::Line, &inventory::State) -> Option<C>,
    ) -> Result<Vec<(event::Line, inventory::Rejection)>, Rejection> {
        let (decided, refused) = self.ask_stock(command)?;
        self.keep(decided);
        Ok(refused)
    }

    #[expect(
        clippy::type_complexity,
        reason = "what is decided and what is refused, by line"
    )]
    fn ask_stock<C: Into<inventory::Command>>(
        &self,
        mut command: impl FnMut(&event::Line, &inventory::State) -> Option<C>,
    ) -> Result<
        (
            Vec<(ProductId, Vec<inventory::Event>)>,
            Vec<(event::Line, inventory::Rejection)>,
        ),
        Rejection,
    > {
        let mut decided = vec![];
        let mut refused = vec![];
        for line in &self.saga.lines {
            let product_id = line.product_id;
            let Some(loaded) = self.world.stock.get(&product_id) else {
                return Err(Rejection::StockNotLoaded { product_id });
            };
            // A stock with many holds is big; it is copied only when the batch has changed it already.
            let changed = self
                .decision
                .stock
                .get(&product_id)
                .map(|events| events.iter().fold(loaded.clone(), Inventory::evolve));
            let stock = changed.as_ref().unwrap_or(loaded);
            let Some(command) = command(line, stock) else {
                continue;
            };
            match Inventory::decide(stock, command.into()) {
                Ok(events) => decided.push((product_id, events)),
                Err(rejection) => refused.push((*line, rejection)),
            }
        }
        Ok((decided, refused))
    }

    fn keep(&mut self, decided: Vec<(ProductId, Vec<inventory::Event>)>) {
        for (product_id, events) in decided {
            if !events.is_empty() {
                self.decision
                    .stock
                    .entry(product_id)
                    .or_default()
                    .extend(events);
            }
        }
    }

    /// Records the intent to call the provider, with the payment's own record of it. A repeated opening of the step
    /// has a new effect id.
    pub(super) fn intend(&mut self, step: Step) -> Result<(), Rejection> {
        let opening = self
            .saga
            .step(step)
            .map_or(0, |record| record.opening)
            .saturating_add(1);
        let effect_id = EffectId::of(self.world.order_id, step.as_str(), opening);
        match step {
            Step::Authorise => self.payment(payment::Request {
                provider: self.saga.provider.clone(),
                amount: self.saga.total,
                method: self.saga.method.clone(),
                effect_id,
            })?,
            Step::Capture => self.payment(payment::RequestCapture { effect_id })?,
            Step::Void => self.payment(payment::RequestVoid { effect_id })?,
            Step::Refund => {
                let amount = self.payment.refundable().unwrap_or(self.saga.total);
                self.payment(payment::RequestRefund { effect_id, amount })?;
            }
            // Nothing outside is asked.
            Step::Hold | Step::Commit | Step::Release => {}
        }
        self.intend_again(step, effect_id, opening);
        Ok(())
    }

    /// Records the intent to call the provider under an effect id that the payment knows already.
    pub(super) fn intend_again(&mut self, step: Step, effect_id: EffectId, opening: u32) {
        let deadline = after(self.now, self.policy.answer_deadline);
        self.record(event::Intended {
            step,
            effect_id,
            opening,
            deadline,
        });
    }

    /// The customer has to act until a moment.
    pub(super) fn await_customer(&mut self, step: Step, effect_id: EffectId, deadline: Timestamp) {
        self.record(event::CustomerAwaited {
            step,
            effect_id,
            deadline,
        });
    }

    /// A try ended, the step did not.
    pub(super) fn end_attempt(&mut self, ended: event::AttemptEnded) {
        self.record(ended);
    }

    /// A step ended, with the effect that was open for it.
    pub(super) fn end_step(&mut self, step: Step, outcome: Outcome, detail: Option<&str>) {
        let stuck = self
            .saga
            .stuck
            .as_ref()
            .and_then(|stuck| stuck.open.as_ref());
        let open = self
            .saga
            .pending
            .as_ref()
            .or(stuck)
            .filter(|open| open.step == step);
        let tries = self.saga.step(step).map_or(1, |record| record.tries.max(1));
        self.record(event::StepEnded {
            step,
            effect_id: open.map(|open| open.effect_id),
            attempt: open.map_or(tries, |open| open.attempt),
            outcome,
            detail: detail.map(cut),
        });
    }

    /// The saga cannot go on by itself.
    pub(super) fn need_operator(&mut self, step: Step, cause: Cause, detail: &str) {
        self.record(event::NeedsOperator {
            step,
            cause,
            detail: cut(detail),
        });
    }

    /// An operator's command is accepted.
    pub(super) fn accept(&mut self, commanded: event::OperatorCommanded) {
        self.record(commanded);
    }

    /// The provider told something after a person had ended the saga.
    pub(super) fn note_late(&mut self, late: event::LateOutcomeRecorded) {
        self.record(late);
    }

    /// Turns back: the order is called off, the plan is frozen, and whatever needs no outside world is put back.
    pub(super) fn unwind(
        &mut self,
        reason: CancelReason,
        detail: Option<&str>,
    ) -> Result<(), Rejection> {
        self.begin_unwinding(reason, detail)?;
        self.put_back()
    }

    /// The order is called off and the plan is frozen; nothing is put back yet.
    pub(super) fn begin_unwinding(
        &mut self,
        reason: CancelReason,
        detail: Option<&str>,
    ) -> Result<(), Rejection> {
        let detail = detail.map(cut);
        self.order(order::BeginCancel {
            reason,
            detail: detail.clone(),
        })?;
        let plan = self.saga.plan();
        self.record(event::UnwindingBegan {
            reason,
            detail,
            plan,
        });
        Ok(())
    }

    /// Turns back after the end, for a success that came too late. The order stays as it ended.
    pub(super) fn unwind_again(&mut self, reason: CancelReason, detail: &str, compensation: Step) {
        self.record(event::UnwindingBegan {
            reason,
            detail: Some(cut(detail)),
            plan: vec![compensation],
        });
    }

    /// Runs what is due: everything inside, then the next effect outside; or the end, when nothing is due any more.
    pub(super) fn put_back(&mut self) -> Result<(), Rejection> {
        self.put_back_inside()?;
        if let Some(&due) = self.saga.due().first() {
            return self.intend(due);
        }
        match &self.saga.stage {
            Stage::Unwinding(unwinding) => {
                let (reason, detail) = (unwinding.reason, unwinding.detail.clone());
                self.end_compensated(reason, detail)
            }
            Stage::Running | Stage::Completed | Stage::Compensated { .. } | Stage::Closed(_) => {
                Ok(())
            }
        }
    }

    /// Runs what is due and needs no outside world; it never waits for what does.
    pub(super) fn put_back_inside(&mut self) -> Result<(), Rejection> {
        let due = self.saga.due();
        for due in due
            .into_iter()
            .filter(|due| self.saga.place(*due) == Place::Inside)
            .collect::<Vec<_>>()
        {
            let order_id = self.world.order_id;
            let refused = self.stock(|_| inventory::Release {
                order_id,
                cause: ReleaseCause::Compensated,
            })?;
            if let Some((line, rejection)) = refused.into_iter().next() {
                return Err(Rejection::Stock {
                    product_id: line.product_id,
                    rejection,
                });
            }
            self.end_step(due, Outcome::Ok, None);
        }
        Ok(())
    }

    /// Ends without the order: everything is put back, or nothing ever had to be.
    pub(super) fn end_compensated(
        &mut self,
        reason: CancelReason,
        detail: Option<String>,
    ) -> Result<(), Rejection> {
        let due = self.saga.due();
        if !due.is_empty() {
            return Err(Rejection::CompensationDue { due });
        }
        self.order(order::FinishCancel { reason, detail })?;
        match self.saga.skipped_because().map(str::to_owned) {
            None => self.record(event::Compensated { reason }),
            // Not all of it was put back by the saga.
            Some(because) => self.close(vec![], because),
        }
        Ok(())
    }

    /// A person ends it; what it would still have had to see to is named.
    pub(super) fn close(&mut self, left_due: Vec<Step>, reason: String) {
        self.record(event::Closed { left_due, reason });
    }

    /// Ends with the order: every step forward is done.
    pub(super) fn end_completed(&mut self) -> Result<(), Rejection> {
        let undone = |step| {
            self.saga
                .step(step)
                .is_none_or(|record| record.state != StepState::Done)
        };
        let due: Vec<Step> = forward(self.saga.table())
            .map(|spec| spec.step)
            .filter(|step| undone(*step))
            .collect();
        if !due.is_empty() || !matches!(self.saga.stage, Stage::Running) {
            return Err(Rejection::CompensationDue { due });
        }
        self.confirm()?;
        self.record(event::Completed {});
        Ok(())
    }

    /// The order is confirmed.
    pub(super) fn confirm(&mut self) -> Result<(), Rejection> {
        self.order(order::Confirm)
    }
}

/// Outsiders' text within a limit.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(LONGEST_DETAIL_CHARS).collect()
}
