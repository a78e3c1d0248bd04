//! Traces: one order is followed from the request through the log to the rows, in every process that has a part in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod collector;
mod provider;
mod story;

const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");
