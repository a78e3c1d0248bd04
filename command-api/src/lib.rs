//! The front door for commands: thin. It recognises the caller and the command, checks the form of what was asked,
//! hands it to a decider, and tells what came of it. Business rules are in `domain`, appending is in `event-store`.
//!
//! A folder per area, a file per verb. A verb reads: check the fields, name the command, decide, answer. What all of
//! them share: [`command`] (ids, hashes, repeats), [`door`] (what a handler holds), [`answer`] (positions, versions),
//! and [`problem`], the only file that knows status codes.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests fail by panicking"
    )
)]

mod answer;
mod assignments;
mod auth;
mod body;
mod broker_door;
mod command;
mod customers;
mod documents;
mod door;
mod erasure;
mod fields;
mod if_match;
mod inventory;
mod me;
mod notification_agents;
mod notification_deliveries;
mod notifications;
mod offers;
mod orders;
mod partners;
mod payment_providers;
mod pictures;
mod problem;
mod products;
mod projections;
mod resources;
mod role;
mod routes;
mod sagas;
mod service;
mod webhooks;

pub use role::run;
pub use routes::openapi;
pub use service::{Deps, Service, policy};
pub use webhooks::PAYMENT_EVENTS;
