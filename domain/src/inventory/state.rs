//! What decisions about a stock remember: four counts, the holds that run, and how the latest ones ended.

use std::collections::{BTreeMap, VecDeque};

use event_schema::Timestamp;
use event_schema::ids::OrderId;
use event_schema::inventory::Event;
use serde::{Deserialize, Serialize};

/// How many ended holds are remembered.
///
/// An order's hold is asked for, released and committed by its saga alone, in one batch with the saga's own events and
/// fenced by the saga's version: that is what keeps a hold from coming back, for ever. This memory is the second line:
/// it refuses a repeat by whoever is not fenced, for as long as a repeat is plausible, and stays small in a snapshot.
pub const REMEMBERED_ENDINGS: usize = 256;

/// The stock of one product.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Units that ever arrived, corrected by adjustments.
    pub received: u64,
    /// Units that can be sold.
    pub available: u64,
    /// Units put aside for orders.
    pub held: u64,
    /// Units sold.
    pub sold: u64,
    /// At or below this many available units the stock is low.
    pub low_stock_threshold: u32,
    /// The holds that run, by order.
    pub holds: BTreeMap<OrderId, HeldUnits>,
    pub(super) ended: VecDeque<(OrderId, Ended)>,
}

/// Units put aside for one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldUnits {
    /// How many.
    pub quantity: u32,
    /// When the hold ends by itself, unless the order's money is being taken.
    pub expires_at: Timestamp,
}

/// How a hold ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// Put back.
    Released,
    /// Sold.
    Committed,
}

impl State {
    /// Whether few units are left: at or below the threshold.
    pub fn low(&self) -> bool {
        self.available <= u64::from(self.low_stock_threshold)
    }

    /// How an order's hold ended, while that is remembered.
    pub fn ended(&self, order: OrderId) -> Option<Ended> {
        self.ended
            .iter()
            .find(|(id, _)| *id == order)
            .map(|(_, ended)| *ended)
    }

    fn remember(&mut self, order: OrderId, ended: Ended) {
        if self.ended.len() >= REMEMBERED_ENDINGS {
            self.ended.pop_front();
        }
        self.ended.push_back((order, ended));
    }

    // History happened, so sums are kept within bounds instead of argued with; that they balance is decided beforehand.
    pub(super) fn evolve(mut self, event: &Event) -> Self {
        match event {
            Event::Received(e) => {
                self.received = self.received.saturating_add(u64::from(e.quantity));
                self.available = self.available.saturating_add(u64::from(e.quantity));
            }
            Event::Adjusted(e) => {
                self.received = self.received.saturating_add_signed(e.quantity);
                self.available = self.available.saturating_add_signed(e.quantity);
            }
            Event::ThresholdSet(e) => self.low_stock_threshold = e.low_stock_threshold,
            Event::Held(e) => {
                self.available = self.available.saturating_sub(u64::from(e.quantity));
                self.held = self.held.saturating_add(u64::from(e.quantity));
                self.holds.insert(
                    e.order_id,
                    HeldUnits {
                        quantity: e.quantity,
                        expires_at: e.expires_at,
                    },
                );
            }
            Event::Released(e) => {
                self.held = self.held.saturating_sub(u64::from(e.quantity));
                self.available = self.available.saturating_add(u64::from(e.quantity));
                self.holds.remove(&e.order_id);
                self.remember(e.order_id, Ended::Released);
            }
            Event::Committed(e) => {
                self.held = self.held.saturating_sub(u64::from(e.quantity));
                self.sold = self.sold.saturating_add(u64::from(e.quantity));
                self.holds.remove(&e.order_id);
                self.remember(e.order_id, Ended::Committed);
            }
            Event::RanLow(_) => {}
        }
        self
    }
}
