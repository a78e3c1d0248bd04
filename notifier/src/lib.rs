//! Tells customers, partners and staff what happened, outside of the house: by e-mail, SMS, push and webhooks.
//!
//! What a message goes through is `domain::notification`; this crate is the shell around it. One process leads at a time:
//! it follows the log, turns events into intents, and has open messages carried by the [`providers`], whom it asks through
//! [`port`] only.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests fail by panicking"
    )
)]

mod board;
mod carry;
mod circuit;
mod compose;
mod context;
mod desk;
mod intent;
pub mod keys;
mod leader;
mod lease;
mod ledger;
pub mod outbound;
pub mod port;
pub mod providers;
mod role;
mod roster;
mod service;
pub mod templates;
mod trigger;

pub use role::run;
pub use service::{Deps, Service};
