//! The tools of an event-sourced system against the real program: read models by hand, the log over HTTP, moving
//! house, and a log that is not what it was.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod carried;
mod events;
mod ground;
mod house;
mod moved;
mod projections;
mod provider;
mod rewound;

const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");
