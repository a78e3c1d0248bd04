//! What can happen to a partner, the seller who prepares orders.

use serde::{Deserialize, Serialize};

use crate::event_set::event_set;

/// A partner exists, neither verified nor enabled yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// Name of the business.
    pub title: String,
    /// The brand shown to customers.
    pub brand: String,
    /// Business telephone number.
    pub phone: String,
    /// Business e-mail address.
    pub email: String,
    /// Where orders are picked up.
    pub address: String,
    /// Where the partner wants to be told of orders.
    pub webhook_url: Option<String>,
}

/// Business data changed; each field holds the value that counts from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Name of the business.
    pub title: String,
    /// The brand shown to customers.
    pub brand: String,
    /// Business telephone number.
    pub phone: String,
    /// Business e-mail address.
    pub email: String,
    /// Where orders are picked up.
    pub address: String,
    /// Where the partner wants to be told of orders.
    pub webhook_url: Option<String>,
}

/// Somebody looked and the business is what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {}

/// The partner sells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enabled {}

/// The partner does not sell for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {}

/// Nothing is sent to the partner's system any more, until its address is set again or the partner enabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookDisabled {
    /// Why, as a short code, such as `gone`.
    pub cause: String,
}

event_set! {
    /// A partner's events.
    pub enum Event of "partner" {
        /// A partner exists.
        "partner.added" 1 => Added(Added),
        /// Business data changed.
        "partner.changed" 1 => Changed(Changed),
        /// The business was checked.
        "partner.verified" 1 => Verified(Verified),
        /// The partner sells.
        "partner.enabled" 1 => Enabled(Enabled),
        /// The partner does not sell for now.
        "partner.disabled" 1 => Disabled(Disabled),
        /// Nothing is sent to its system.
        "partner.webhook_disabled" 1 => WebhookDisabled(WebhookDisabled),
    }
    upcasts []
}
