//! Real servers for the tests: a payment sandbox over HTTP on a Postgres of its own, a shop on a nats-server of its
//! own, and orchestrators that can be killed.
#![allow(
    dead_code,
    reason = "each test binary uses its own part of the support"
)]

pub mod audit;
pub mod callbacks;
pub mod cut;
pub mod meddler;
pub mod orchestrator;
pub mod panicking;
pub mod process;
pub mod sandbox;
pub mod shop;
