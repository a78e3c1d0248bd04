//! The OpenAPI document is the whole truth: complete as it is written, and held against what the running shop answers to
//! whatever a fuzzer makes up.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod complete;
mod document;
mod features;
mod fuzzed;

/// The program under test.
const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");
