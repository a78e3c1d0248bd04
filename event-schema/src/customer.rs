//! What can happen to a customer. Personal data is sealed from the first event on.

use serde::{Deserialize, Serialize};

use crate::event_set::event_set;
use crate::sealed::Sealed;

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Buys.
    Customer,
    /// Carries orders.
    Deliverer,
    /// Sells.
    Partner,
    /// Runs the shop.
    Admin,
}

/// A customer exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Added {
    /// Full name.
    pub name: Sealed<String>,
    /// E-mail address as given.
    pub email: Sealed<String>,
    /// Keyed hash of the normalised address: the key of the uniqueness record.
    pub email_key: String,
    /// What the person may do.
    pub role: Role,
}

event_set! {
    /// A customer's events.
    pub enum Event of "customer" {
        /// A customer exists.
        "customer.added" 1 => Added(Added),
    }
    upcasts []
}
