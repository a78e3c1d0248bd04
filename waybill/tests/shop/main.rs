//! The whole system as people run it: the real program, its real servers, its real provider stand-in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod accounts;
mod kills;
mod logs;
mod operators;
mod operators_page;
mod roles;
mod sagas;
mod seed;
mod story;

/// The program under test.
const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");
