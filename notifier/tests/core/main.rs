//! The core of the notifier on a real broker: what is told to whom, once, whatever dies, and in which order. Providers
//! are scripted, through the port that real ones use.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking, and say how long a load took"
)]

mod fallback;
mod load;
mod news;
mod once;
mod support;
mod triggers;
