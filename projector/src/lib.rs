//! The read side: one worker turns the log into rows, every replica answers queries from them.
//!
//! Rows and checkpoint commit together, so a projection neither loses nor doubles an event whatever dies; every read
//! model can be dropped, rebuilt beside the live one, or compared with the log. See [`worker`] for the one writer,
//! [`projection`] for what a read model implements, and `read_models/` for each of them.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests fail by panicking"
    )
)]

mod apply;
mod checkpoint;
mod desk;
mod events_route;
mod http;
mod inbox_desk;
mod keys_route;
mod migrations;
mod moves;
pub mod parking;
mod personal;
pub mod projection;
mod projections_route;
pub mod read_models;
mod rebuild;
mod replay;
mod role;
pub mod schema;
mod service;
pub mod status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod verify;
pub mod worker;

pub use desk::SERVICE;
pub use migrations::{SchemaError, migrate};
pub use moves::Moves;
pub use personal::Personal;
pub use rebuild::{Rebuild, Rebuilt};
pub use replay::{Progress, ReplayError, Workshop};
pub use role::run;
pub use service::{Deps, Service, openapi, worker_pool};
pub use status::{ProjectionStatus, Running};
pub use verify::{Difference, Verified};
