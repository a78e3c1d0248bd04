//! Runs sagas: effects to the payment provider, deadlines, takeover, operator desk.
//!
//! What a saga decides is `domain::fulfilment`; this crate is the shell around it. [`Service`] works the shares that
//! are its own, writes what operators read, and answers them; [`provider`] is the port to the payment provider and
//! [`effect`] what it takes to run one effect without ever doing it twice.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests fail by panicking"
    )
)]

mod desk;
pub mod effect;
pub mod provider;
mod role;
mod runner;
mod service;
pub mod status;
mod view;

pub use role::run;
pub use runner::{Owner, SHARES, Share, read_owner};
pub use service::{Deps, Service};
