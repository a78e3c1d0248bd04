//! People's pictures and their erasure through the real program: what is kept where, and that nothing of an erased
//! person can be found anywhere.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod bucket;
mod kills;
mod marked;
mod scan;
mod traces;

/// The program under test.
const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");
