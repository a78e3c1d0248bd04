//! What `CONTRIBUTING.md` walks through, as code that runs: gift cards as a service of their own beside the shop, with an
//! aggregate, its events, a read model and three routes, and nothing of the core changed.
//!
//! In the order of the walk: [`event`], [`gift_card`], [`left`], [`service`]; [`story`] runs it on a real broker and a real
//! database.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod event;
mod gift_card;
mod left;
mod service;
mod story;
