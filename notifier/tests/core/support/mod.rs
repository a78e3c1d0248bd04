//! A shop on a broker of its own, scripted providers, and notifiers that can be killed at any point.

pub mod brink;
pub mod notifier;
pub mod scripted;
pub mod shop;
