//! What people and partners' systems get while the story of the README is lived through, seen where the demo shows it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod processes;
mod story;
mod view;

/// The program under test.
const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");
