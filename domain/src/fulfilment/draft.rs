//! A batch in the making: each event is decided by its own decider on the state that the batch has reached so far.

use event_schema::fulfilment::{self as event, Cause, Event, Outcome, Step};
use event_schema::ids::{EffectId, ProductId};
use event_schema::inventory::ReleaseCause;
use event_schema::order::CancelReason;
use event_schema::{Decider, Timestamp};

use super::policy::after;
use super::steps::{Kind, Place, STEPS, forward};
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

    /// What the order makes of a command; asked at most once in a batch.
    fn order(&mut self, command: impl Into<order::Command>) -> Result<(), Rejection> {
        self.decision
            .order
            .extend(Order::decide(self.world.order, command.into())?);
        Ok(())
    }

    /// What the stock of every line makes of a command each, all or none; asked at most once in a batch.
    pub(super) fn stock<C: Into<inventory::Command>>(
        &mut self,
        command: impl Fn(&event::Line) -> C,
    ) -> Result<Vec<(event::Line, inventory::Rejection)>, Rejection> {
        let mut decided: Vec<(ProductId, Vec<inventory::Event>)> = vec![];
        let mut refused = vec![];
        for line in &self.saga.lines {
            let product_id = line.product_id;
            let Some(stock) = self.world.stock.get(&product_id) else {
                return Err(Rejection::StockNotLoaded { product_id });
            };
            match Inventory::decide(stock, command(line).into()) {
                Ok(events) => decided.push((product_id, events)),
                Err(rejection) => refused.push((*line, rejection)),
            }
        }
        if refused.is_empty() {
            decided.retain(|(_, events)| !events.is_empty());
            self.decision.stock.extend(decided);
        }
        Ok(refused)
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
        let deadline = after(self.now, self.policy.answer_deadline);
        self.record(event::Intended {
            step,
            effect_id,
            opening,
            deadline,
        });
        Ok(())
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
        self.record(event::StepEnded {
            step,
            effect_id: open.map(|open| open.effect_id),
            attempt: open.map_or(1, |open| open.attempt),
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

    /// Turns back: the order is called off, the plan is frozen, and whatever needs no outside world is put back.
    pub(super) fn unwind(
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
        self.put_back()
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
        while let Some(&due) = self.saga.due().first() {
            match place(due) {
                Place::Provider => return self.intend(due),
                Place::Inside => {
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
            }
        }
        match &self.saga.stage {
            Stage::Unwinding(unwinding) => {
                let (reason, detail) = (unwinding.reason, unwinding.detail.clone());
                self.end_compensated(reason, detail)
            }
            Stage::Running | Stage::Completed | Stage::Compensated { .. } => Ok(()),
        }
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
        self.record(event::Compensated { reason });
        Ok(())
    }

    /// Ends with the order: every step forward is done.
    pub(super) fn end_completed(&mut self) -> Result<(), Rejection> {
        let undone = |step| {
            self.saga
                .step(step)
                .is_none_or(|record| record.state != StepState::Done)
        };
        let due: Vec<Step> = forward()
            .map(|spec| spec.step)
            .filter(|step| undone(*step))
            .collect();
        if !due.is_empty() || !matches!(self.saga.stage, Stage::Running) {
            return Err(Rejection::CompensationDue { due });
        }
        self.order(order::Confirm)?;
        self.record(event::Completed {});
        Ok(())
    }
}

fn place(step: Step) -> Place {
    STEPS
        .iter()
        .find(|spec| spec.step == step)
        .map_or(Place::Provider, |spec| spec.place)
}

/// Whether a step makes up for another.
pub(super) fn is_compensation(step: Step) -> bool {
    STEPS
        .iter()
        .any(|spec| spec.step == step && matches!(spec.kind, Kind::Compensating))
}

/// Outsiders' text within a limit.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(LONGEST_DETAIL_CHARS).collect()
}
