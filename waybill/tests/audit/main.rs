//! `waybill audit` against a real broker: a sound log is not suspected, at no position of it, and each thing that is
//! wrong with a log is named.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod crafted;
mod log;
mod sound;

const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");
