//! Tells customers, partners and staff what happened, outside of the house: by e-mail, SMS, push and webhooks.
//!
//! What a message goes through is `domain::notification`; this crate is the shell around it: [`port`] is what the core
//! and the [`providers`] agree on.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests fail by panicking"
    )
)]

pub mod port;
pub mod providers;
pub mod templates;
