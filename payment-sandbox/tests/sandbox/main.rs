//! The sandbox over real HTTP on a real Postgres.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod cards;
mod checkout;
mod dashboard;
mod durability;
mod faults;
mod hosted_pages;
mod idempotency;
mod lists;
mod payment_intents;
mod process;
mod provider;
mod receiver;
mod refunds;
mod refusals;
mod webhooks;
