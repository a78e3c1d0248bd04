//! From the order to the customer's door, through the real program: what partners, deliverers, customers and admins do
//! and see.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod live;
mod stage;
mod story;

/// The program under test.
const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");
