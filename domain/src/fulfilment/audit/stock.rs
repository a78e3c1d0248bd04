//! One product's stock, counted without any bound that could hide what is wrong with it.

use std::collections::BTreeMap;

use event_schema::ids::OrderId;
use serde::Serialize;

use super::Finding;
use crate::inventory::Event;

/// Where a product's units are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Ever received, adjustments included.
    pub received: i64,
    /// Can be sold.
    pub available: i64,
    /// Put aside.
    pub held: i64,
    /// Sold.
    pub sold: i64,
}

/// One product's units so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StockAudit {
    counts: Counts,
    holds: BTreeMap<OrderId, u32>,
}

impl StockAudit {
    /// Before anything happened.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where its units are.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The orders that hold units now, with how many.
    pub fn holds(&self) -> impl Iterator<Item = (OrderId, u32)> {
        self.holds.iter().map(|(order, held)| (*order, *held))
    }

    /// Folds the next event in, and tells what is wrong since then. A stock has to balance after each single event.
    pub fn apply(&mut self, event: &Event) -> Vec<Finding> {
        let mut found = vec![];
        match event {
            Event::Received(e) => self.receive(i64::from(e.quantity)),
            Event::Adjusted(e) => self.receive(e.quantity),
            Event::Held(e) => {
                let units = i64::from(e.quantity);
                self.counts.available = self.counts.available.saturating_sub(units);
                self.counts.held = self.counts.held.saturating_add(units);
                if self.holds.insert(e.order_id, e.quantity).is_some() {
                    found.push(contradiction(e.order_id));
                }
            }
            Event::Released(e) => {
                self.counts.available = self.counts.available.saturating_add(i64::from(e.quantity));
                found.extend(self.end_hold(e.order_id, e.quantity));
            }
            Event::Committed(e) => {
                self.counts.sold = self.counts.sold.saturating_add(i64::from(e.quantity));
                found.extend(self.end_hold(e.order_id, e.quantity));
            }
            Event::ThresholdSet(_) | Event::RanLow(_) => {}
        }
        found.extend(self.balance());
        found
    }

    /// What is wrong with the counts as they are.
    pub fn balance(&self) -> Vec<Finding> {
        let Counts {
            received,
            available,
            held,
            sold,
        } = self.counts;
        let mut found = vec![];
        let all = available.saturating_add(held).saturating_add(sold);
        if received != all {
            found.push(Finding::StockDoesNotBalance {
                received,
                available,
                held,
                sold,
            });
        }
        if available < 0 || held < 0 || sold < 0 {
            found.push(Finding::StockBelowNothing {
                available,
                held,
                sold,
            });
        }
        found
    }

    fn receive(&mut self, units: i64) {
        self.counts.received = self.counts.received.saturating_add(units);
        self.counts.available = self.counts.available.saturating_add(units);
    }

    fn end_hold(&mut self, order_id: OrderId, quantity: u32) -> Option<Finding> {
        self.counts.held = self.counts.held.saturating_sub(i64::from(quantity));
        let held = self.holds.remove(&order_id);
        (held != Some(quantity)).then(|| contradiction(order_id))
    }
}

fn contradiction(order_id: OrderId) -> Finding {
    Finding::HoldsContradict { order_id }
}
