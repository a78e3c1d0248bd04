//! What can happen to a payment provider in the shop's register.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event_set::event_set;
use crate::ids::derived;

/// The id of a provider's history; `provider` is its name in the API, such as `stripe`.
pub fn id(provider: &str) -> Uuid {
    derived(&["payment_provider", provider])
}

/// The provider is shown and used like this from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// Its name in the API.
    pub provider: String,
    /// Its name for people.
    pub title: String,
    /// Whether new orders may be paid with it.
    pub active: bool,
    /// Whether customers may pay on its hosted page.
    pub checkout: bool,
}

event_set! {
    /// A payment provider's events.
    pub enum Event of "payment_provider" {
        /// The provider is shown and used like this.
        "payment_provider.set" 1 => Set(Set),
    }
    upcasts []
}
