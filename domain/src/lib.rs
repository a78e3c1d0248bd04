//! The pure core: a folder per aggregate, each a decider of three pure functions, and the saga `fulfilment`.
//!
//! No I/O, no clock, no random: time, ids and prices arrive in the command, so any decision can be run again. Start
//! reading with an aggregate's `mod.rs`: its life, its commands, its rejections.
#![deny(clippy::wildcard_enum_match_arm)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests fail by panicking"
    )
)]

mod command_set;
#[cfg(test)]
mod fixtures;

pub mod assignment;
pub mod customer;
pub mod fulfilment;
pub mod inbox;
pub mod inventory;
pub mod notification;
pub mod notification_agent;
pub mod offer;
pub mod order;
pub mod partner;
pub mod payment;
pub mod payment_provider;
pub mod product;
pub mod resource;
pub mod stray_callback;
