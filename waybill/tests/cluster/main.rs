//! The shop as people deploy it: several processes of each role, three brokers, and everything that goes wrong there.
//!
//! What takes long runs its full number of rounds with `WAYBILL_LONG_TESTS=1`, as CI does, and a few without it: every
//! test runs either way. The deployments take turns, because each is a dozen processes and some figures are asserted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking and print their figures"
)]

mod books;
mod crowd;
mod full_disk;
mod leader;
mod lease;
mod outage;
mod races;
mod repeats;
mod shares;
mod stage;
mod starts;
mod stories;

/// The program under test.
const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");

/// How often something is done: `long` times when the long tests are asked for, else `short`.
fn rounds(short: usize, long: usize) -> usize {
    let asked = std::env::var("WAYBILL_LONG_TESTS");
    if asked.is_ok_and(|value| value == "1") {
        long
    } else {
        short
    }
}
