//! What `docker/` ships, held to what it says: brokers and logins under which every role can do its work and nothing
//! else. The files are used as they are; only addresses and secrets are the test's own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod at_work;
mod brokers;
#[path = "../replay/carried.rs"]
mod carried;
mod database;
mod deployment;
mod encryption;
mod files;
mod moving;
mod probe;
mod rights;
mod secrets;

/// The folder under test.
const DOCKER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docker");
