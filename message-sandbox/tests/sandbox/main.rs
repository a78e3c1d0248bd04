//! The sandbox over real sockets, as the senders of a shop use it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod apis;
mod house;
mod mail;
