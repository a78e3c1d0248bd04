//! The commands over HTTP as their callers see them: each happens, each is refused, each can be repeated.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod access;
mod accounts;
mod auth;
mod avatars;
mod broker;
mod customers;
mod delivery;
mod erasure;
mod inventory;
mod lost;
mod notification_agents;
mod notifications;
mod orders;
mod outage;
mod partners;
mod payment_providers;
mod products;
mod projections;
mod replays;
mod replicas;
mod resources;
mod saga;
mod sagas;
mod shop;
mod unreadable;
mod webhooks;
