//! Races for one key, ids that nobody has, things of others, views that are old, bodies that cannot be read: tried at
//! every route of the OpenAPI document that it can happen to, so that a new route is tried or named here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod bad_input;
mod inbox;
mod one_key;
mod others;
mod route;
mod stage;

/// The program under test.
const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");
