//! Signed callbacks about orders that do not exist here; kept so that a person can find them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event_set::event_set;
use crate::ids::derived;

/// The id under which a stray callback is kept: one per provider's event.
pub fn id(provider: &str, provider_event_id: &str) -> Uuid {
    derived(&["stray_callback", provider, provider_event_id])
}

/// A signed callback named no order that exists here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Who called.
    pub provider: String,
    /// The provider's id of the event.
    pub provider_event_id: String,
    /// The provider's type of the event.
    pub kind: String,
    /// The order it named, if any, as it named it (cut to 200 characters).
    pub order_reference: Option<String>,
    /// The payment it named, if any.
    pub provider_payment_id: Option<String>,
}

event_set! {
    /// A stray callback's one event.
    pub enum Event of "stray_callback" {
        /// A signed callback named no order that exists here.
        "stray_callback.received" 1 => Received(Received),
    }
    upcasts []
}
