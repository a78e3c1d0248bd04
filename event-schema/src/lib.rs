//! The wire contract of Waybill: what an event looks like in the log, for ever.
//!
//! Everything that is stored goes through this crate: the payloads of every event, the envelope around them,
//! the subjects they live under, and the one module that turns them into bytes. It knows nothing of the other
//! crates. The [`decider::Decider`] trait lives here too, because it is what gives events their meaning.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests fail by panicking"
    )
)]

pub mod assignment;
pub mod codec;
pub mod customer;
pub mod decider;
pub mod envelope;
pub mod event_set;
pub mod fulfilment;
pub mod ids;
pub mod inbox;
pub mod inventory;
pub mod money;
pub mod notification;
pub mod notification_agent;
pub mod offer;
pub mod order;
pub mod partner;
pub mod payment;
pub mod payment_provider;
pub mod product;
pub mod record;
pub mod registry;
pub mod resource;
pub mod sealed;
pub mod stray_callback;
pub mod subject;
#[cfg(feature = "testing")]
pub mod testing;
pub mod upcast;

pub use decider::{Decider, SagaDef};
pub use envelope::{Actor, Metadata, NewEvent, Position, Recorded, SagaHeaders, Version};
pub use event_set::{DecodeError, EventSet};
pub use money::{Currency, Money};
pub use sealed::{PersonalKey, Sealed};
pub use subject::Subject;

/// A moment, UTC. The one spelling of time in events and states.
pub type Timestamp = jiff::Timestamp;
