//! What the payment provider tells, whenever and however it tells it: two processes that take callbacks, the saga behind
//! them, and a provider whose post the test carries, so that it comes before the answer, twice, late, or changed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod arrival;
mod durable;
mod late;
mod postbox;
mod stage;
mod strange;
mod stray;

/// The program under test.
const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");
