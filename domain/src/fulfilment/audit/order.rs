//! One order's money and units, folded from all of its histories.

use std::collections::BTreeMap;

use event_schema::fulfilment::Step;
use event_schema::ids::{OrderId, ProductId};
use event_schema::{Decider, EventSet, Money};

use super::{Fact, Finding};
use crate::fulfilment::steps::forward;
use crate::fulfilment::{Event, Fulfilment, Saga, Stage, State, Status, StepState};
use crate::inventory;
use crate::order::{self, Order};
use crate::payment::{self, Payment};

/// One order so far, with everything it touches.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderAudit {
    order_id: OrderId,
    saga: State,
    order: order::State,
    payment: payment::State,
    units: BTreeMap<ProductId, Units>,
}

/// What has to be remembered of an order that has ended with everything where it belongs. With the three histories,
/// which can be read again, it is the whole of an [`OrderAudit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AtRest {
    /// Nothing was ever put aside for it.
    NeverHeld,
    /// Every line was put aside once, and put back.
    PutBack,
    /// Every line was put aside once, and sold.
    Sold,
}

/// One line's units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Units {
    held: u32,
    sold: u32,
    holds: u32,
}

impl Units {
    /// Of a hold that has ended.
    fn ended(sold: u32) -> Self {
        Self {
            held: 0,
            sold,
            holds: 1,
        }
    }
}

impl OrderAudit {
    /// Before anything happened.
    pub fn new(order_id: OrderId) -> Self {
        Self {
            order_id,
            saga: Fulfilment::initial(),
            order: Order::initial(),
            payment: Payment::initial(),
            units: BTreeMap::new(),
        }
    }

    /// An order at rest, taken up again: its histories tell the rest.
    pub fn taken_up(
        order_id: OrderId,
        rest: AtRest,
        saga: State,
        order: order::State,
        payment: payment::State,
    ) -> Self {
        let units = |quantity| match rest {
            AtRest::NeverHeld => None,
            AtRest::PutBack => Some(Units::ended(0)),
            AtRest::Sold => Some(Units::ended(quantity)),
        };
        let lines = saga.saga().map_or(&[][..], |saga| &saga.lines);
        let units = lines
            .iter()
            .filter_map(|line| Some((line.product_id, units(line.quantity)?)))
            .collect();
        Self {
            order_id,
            saga,
            order,
            payment,
            units,
        }
    }

    /// The saga so far.
    pub fn saga(&self) -> &State {
        &self.saga
    }

    /// What there is to remember of it once its saga has ended and all balances; nothing while there is more to say.
    pub fn at_rest(&self) -> Option<AtRest> {
        let saga = self.saga.saga().filter(|saga| saga.has_ended())?;
        if !self.balance().is_empty() {
            return None;
        }
        if self.units.is_empty() {
            return Some(AtRest::NeverHeld);
        }
        let all = |ended: fn(u32) -> Units| {
            let mut lines = saga.lines.iter();
            self.units.len() == saga.lines.len()
                && lines.all(|line| self.units.get(&line.product_id) == Some(&ended(line.quantity)))
        };
        match (all(|_| Units::ended(0)), all(Units::ended)) {
            (true, _) => Some(AtRest::PutBack),
            (false, true) => Some(AtRest::Sold),
            (false, false) => None,
        }
    }

    /// Folds the next event in, and tells what it breaks all by itself.
    pub fn apply(&mut self, fact: Fact<'_>) -> Vec<Finding> {
        match fact {
            Fact::Saga(event) => {
                let broken = self
                    .saga
                    .saga()
                    .and_then(|saga| out_of_turn(saga, event))
                    .into_iter()
                    .collect();
                let before = std::mem::replace(&mut self.saga, Fulfilment::initial());
                self.saga = Fulfilment::evolve(before, event);
                broken
            }
            Fact::Order(event) => {
                let before = std::mem::replace(&mut self.order, Order::initial());
                self.order = Order::evolve(before, event);
                vec![]
            }
            Fact::Payment(event) => {
                let before = std::mem::take(&mut self.payment);
                self.payment = Payment::evolve(before, event);
                out_of_bounds(&self.payment).into_iter().collect()
            }
            Fact::Stock(product_id, event) => self.stock(product_id, event),
        }
    }

    fn stock(&mut self, product_id: ProductId, event: &inventory::Event) -> Vec<Finding> {
        let (order_id, quantity) = match event {
            inventory::Event::Held(e) => (e.order_id, e.quantity),
            inventory::Event::Released(e) => (e.order_id, e.quantity),
            inventory::Event::Committed(e) => (e.order_id, e.quantity),
            inventory::Event::Received(_)
            | inventory::Event::Adjusted(_)
            | inventory::Event::ThresholdSet(_)
            | inventory::Event::RanLow(_) => return vec![],
        };
        if order_id != self.order_id {
            return vec![];
        }
        let units = self.units.entry(product_id).or_default();
        if let inventory::Event::Held(_) = event {
            units.holds = units.holds.saturating_add(1);
            units.held = units.held.saturating_add(quantity);
            return match units.holds {
                1 => vec![],
                _ => vec![Finding::HeldTwice { product_id }],
            };
        }
        let held = std::mem::take(&mut units.held);
        if let inventory::Event::Committed(_) = event {
            units.sold = units.sold.saturating_add(quantity);
        }
        match held {
            0 => vec![Finding::EndedWithoutHold { product_id }],
            ordered if ordered != quantity => vec![Finding::OtherQuantity {
                product_id,
                ordered,
                found: quantity,
            }],
            _ => vec![],
        }
    }

    /// What does not balance where the log stands, with all of a command's events folded in.
    pub fn balance(&self) -> Vec<Finding> {
        let placed = !matches!(self.order, order::State::NotPlaced);
        let Some(saga) = self.saga.saga() else {
            let holds = self
                .units
                .values()
                .any(|units| units.held > 0 || units.sold > 0);
            return (placed || holds)
                .then_some(Finding::SagaMissing)
                .into_iter()
                .collect();
        };
        let mut found = balance_of(saga, &self.order, &self.payment);
        for line in &saga.lines {
            let units = self
                .units
                .get(&line.product_id)
                .copied()
                .unwrap_or_default();
            self.line(saga, line.product_id, line.quantity, units, &mut found);
        }
        let ordered =
            |product_id: &ProductId| saga.lines.iter().any(|line| line.product_id == *product_id);
        for (product_id, units) in &self.units {
            let some = units.held.saturating_add(units.sold);
            if !ordered(product_id) && some > 0 {
                found.push(Finding::OtherQuantity {
                    product_id: *product_id,
                    ordered: 0,
                    found: some,
                });
            }
        }
        found
    }

    fn line(
        &self,
        saga: &Saga,
        product_id: ProductId,
        ordered: u32,
        units: Units,
        found: &mut Vec<Finding>,
    ) {
        let Units { held, sold, .. } = units;
        let status = saga.status();
        let some = held.saturating_add(sold);
        if some > 0 && some != ordered {
            found.push(Finding::OtherQuantity {
                product_id,
                ordered,
                found: some,
            });
        }
        if saga.has_ended() && held > 0 {
            found.push(Finding::HoldOutlivesSaga {
                product_id,
                held,
                saga: status,
            });
        }
        if status == Status::Completed && sold == 0 {
            found.push(Finding::NotSold { product_id });
        }
        if sold > 0 && !matches!(self.order, order::State::Confirmed(_)) {
            found.push(Finding::SoldToNobody { product_id, sold });
        }
        let being_paid_for = matches!(saga.stage, Stage::Running)
            && saga.stuck.is_none()
            && saga.is_past_no_return();
        if being_paid_for && held == 0 {
            found.push(Finding::HoldMissing { product_id });
        }
    }
}

/// What does not balance of a saga and its money: all that can be said of one that is under way without more than is at
/// hand anyway.
pub fn money_of(saga: &Saga, payment: &payment::State) -> Vec<Finding> {
    let mut found: Vec<Finding> = out_of_bounds(payment).into_iter().collect();
    money(saga, payment, &mut found);
    found
}

/// What an order still holds of a product though its saga has ended.
pub fn hold_of(
    order_id: OrderId,
    saga: &Saga,
    product_id: ProductId,
    stock: &inventory::State,
) -> Option<Finding> {
    let hold = stock.holds.get(&order_id).filter(|_| saga.has_ended())?;
    Some(Finding::HoldOutlivesSaga {
        product_id,
        held: hold.quantity,
        saga: saga.status(),
    })
}

/// What does not balance of a saga, its order and its money; the units are another matter.
pub fn balance_of(saga: &Saga, order: &order::State, payment: &payment::State) -> Vec<Finding> {
    let mut found = vec![];
    if matches!(order, order::State::NotPlaced) {
        found.push(Finding::OrderMissing);
    }
    found.extend(disagrees(order, saga));
    money(saga, payment, &mut found);
    found
}

fn money(saga: &Saga, payment: &payment::State, found: &mut Vec<Finding>) {
    let (Some(ledger), Some(outside)) = (payment.ledger(), payment.outside()) else {
        return;
    };
    let total = saga.total;
    let sum = |amount: i64| Money::new(amount, total.currency);
    let kept_at_provider = ledger
        .captured
        .amount
        .saturating_sub(ledger.refunded.amount);
    let kept = kept_at_provider
        .saturating_add(outside.received.amount)
        .saturating_sub(outside.returned.amount);
    let set_aside = ledger
        .authorised
        .amount
        .saturating_sub(ledger.captured.amount);
    let returned = ledger
        .refunded
        .amount
        .saturating_add(outside.returned.amount);
    if kept > total.amount {
        found.push(Finding::PaidTwice {
            kept: sum(kept),
            total,
        });
    }
    if returned > ledger.captured.amount {
        found.push(Finding::GivenBackTwice {
            returned: sum(returned),
            captured: ledger.captured,
        });
    }
    let settled = |step| {
        saga.step(step)
            .is_some_and(|record| record.state == StepState::Skipped)
    };
    let (may_keep, may_set_aside, confirmed) = match &saga.stage {
        Stage::Completed => (true, true, true),
        Stage::Compensated { .. } => (false, false, false),
        Stage::Closed(ending) => {
            let left = |step| ending.left_due.contains(&step);
            let money = left(Step::Refund) || left(Step::Void);
            let confirmed = ending.called_off.is_none() && ending.left_due.is_empty();
            // Whoever has settled the way forward outside knows what stays set aside; it runs out by itself.
            (
                money || confirmed,
                money || confirmed || settled(Step::Void),
                confirmed,
            )
        }
        Stage::Running | Stage::Unwinding(_) => (true, true, false),
    };
    if confirmed && kept < total.amount {
        found.push(Finding::NotPaid {
            kept: sum(kept),
            total,
        });
    }
    if !may_keep && kept > 0 {
        found.push(Finding::MoneyKept { kept: sum(kept) });
    }
    if !may_set_aside && set_aside > 0 {
        found.push(Finding::MoneySetAside {
            set_aside: sum(set_aside),
        });
    }
    if matches!(saga.stage, Stage::Running) && saga.stuck.is_none() && kept > 0 {
        found.push(Finding::PaidAndForgotten { kept: sum(kept) });
    }
}

fn out_of_bounds(payment: &payment::State) -> Option<Finding> {
    let ledger = payment.ledger()?;
    let (authorised, captured, refunded) = (
        ledger.authorised.amount,
        ledger.captured.amount,
        ledger.refunded.amount,
    );
    let fits = 0 <= refunded && refunded <= captured && captured <= authorised;
    (!fits).then_some(Finding::LedgerOutOfBounds {
        authorised: ledger.authorised,
        captured: ledger.captured,
        refunded: ledger.refunded,
    })
}

/// What an event says too early or too late.
fn out_of_turn(saga: &Saga, event: &Event) -> Option<Finding> {
    let after_the_end = || {
        Some(Finding::AfterTheEnd {
            saga: saga.status(),
            event: event.event_type(),
        })
    };
    let with_due = |ended, due: Vec<Step>| {
        (!due.is_empty()).then_some(Finding::EndedWithDue { saga: ended, due })
    };
    match (&saga.stage, event) {
        (Stage::Closed(_), Event::LateOutcomeRecorded(_)) => None,
        (Stage::Completed | Stage::Closed(_), _) => after_the_end(),
        // A success that arrives after everything was put back is put back in its turn.
        (Stage::Compensated { .. }, Event::UnwindingBegan(_)) => None,
        (Stage::Compensated { .. }, _) => after_the_end(),
        (Stage::Running, Event::Completed(_)) => {
            let undone = |step: &Step| {
                saga.step(*step)
                    .is_none_or(|record| record.state != StepState::Done)
            };
            let steps = forward(saga.table()).map(|spec| spec.step);
            with_due(Status::Completed, steps.filter(undone).collect())
        }
        (Stage::Unwinding(_), Event::Completed(_)) => {
            with_due(Status::Completed, vec![Step::Commit])
        }
        (Stage::Running | Stage::Unwinding(_), Event::Compensated(_)) => {
            with_due(Status::Compensated, saga.due())
        }
        (Stage::Unwinding(unwinding), Event::Closed(closed)) => {
            let unnamed = |due: &&Step| !closed.left_due.contains(due);
            with_due(
                Status::Closed,
                unwinding.due.iter().filter(unnamed).copied().collect(),
            )
        }
        (Stage::Running | Stage::Unwinding(_), _) => None,
    }
}

fn disagrees(order: &order::State, saga: &Saga) -> Option<Finding> {
    let (word, agrees) = match order {
        order::State::NotPlaced => return None,
        order::State::PendingPayment(_) => {
            ("pending_payment", matches!(saga.stage, Stage::Running))
        }
        order::State::Confirmed(_)
        | order::State::Ready(..)
        | order::State::Delivering(..)
        | order::State::Delivered(..) => {
            let agrees = match &saga.stage {
                Stage::Completed => true,
                Stage::Closed(ending) => ending.called_off.is_none(),
                Stage::Running | Stage::Unwinding(_) | Stage::Compensated { .. } => false,
            };
            ("confirmed", agrees)
        }
        order::State::Cancelling(..) => {
            let agrees = match &saga.stage {
                Stage::Unwinding(_) => true,
                Stage::Closed(ending) => !ending.left_due.is_empty(),
                Stage::Running | Stage::Completed | Stage::Compensated { .. } => false,
            };
            ("cancelling", agrees)
        }
        order::State::Cancelled(..) => {
            let agrees = match &saga.stage {
                // A late success is put back after the order has ended.
                Stage::Compensated { .. } | Stage::Unwinding(_) => true,
                Stage::Closed(ending) => ending.called_off.is_some(),
                Stage::Running | Stage::Completed => false,
            };
            ("cancelled", agrees)
        }
    };
    (!agrees).then_some(Finding::OrderDisagrees {
        order: word,
        saga: saga.status(),
    })
}
