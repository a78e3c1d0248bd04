//! What can happen to the stock of one product; its id is the product's.
//!
//! At every position of the log: received = available + held + sold, nothing negative.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::event_set::event_set;
use crate::ids::OrderId;

/// Units arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// How many, at least 1.
    pub quantity: u32,
    /// Why, in the caller's words.
    pub reason: Option<String>,
}

/// The count of received units was corrected: broken, lost, found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjusted {
    /// Signed change, never 0.
    pub quantity: i64,
    /// Why, in the caller's words.
    pub reason: Option<String>,
}

/// From now on the stock counts as low at or below this many available units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThresholdSet {
    /// 0 means never low while anything is available.
    pub low_stock_threshold: u32,
}

/// Units are put aside for an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// For which order; one hold an order.
    pub order_id: OrderId,
    /// How many.
    pub quantity: u32,
    /// When the hold ends by itself, unless the order's money is being taken.
    pub expires_at: Timestamp,
}

/// Why a hold ended without a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseCause {
    /// The order's saga put everything back.
    Compensated,
    /// The hold's time was over.
    Expired,
}

/// A hold ended without a sale: the units are available again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// Whose hold.
    pub order_id: OrderId,
    /// How many.
    pub quantity: u32,
    /// Why.
    pub cause: ReleaseCause,
}

/// A hold ended in a sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// Whose hold.
    pub order_id: OrderId,
    /// How many.
    pub quantity: u32,
}

/// The available units fell to the threshold or below; once per crossing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RanLow {
    /// Units left to sell.
    pub available: u64,
    /// The threshold that was crossed.
    pub low_stock_threshold: u32,
}

event_set! {
    /// A stock's events.
    pub enum Event of "inventory" {
        /// Units arrived.
        "inventory.received" 1 => Received(Received),
        /// The count was corrected.
        "inventory.adjusted" 1 => Adjusted(Adjusted),
        /// What counts as low was set.
        "inventory.threshold_set" 1 => ThresholdSet(ThresholdSet),
        /// Units are put aside.
        "inventory.held" 1 => Held(Held),
        /// A hold ended without a sale.
        "inventory.released" 1 => Released(Released),
        /// A hold ended in a sale.
        "inventory.committed" 1 => Committed(Committed),
        /// Few units are left.
        "inventory.ran_low" 1 => RanLow(RanLow),
    }
    upcasts []
}
