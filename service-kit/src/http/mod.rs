//! Serving HTTP: the layers that every request passes, health, metrics, and a graceful end.

pub mod client_address;
mod cors;
mod health;
mod layers;
mod rate_limit;
pub mod request_id;
mod serve;
mod server;

pub use health::{Behind, Readiness};
pub use layers::ClientAddress;
pub use rate_limit::RateLimit;
pub use serve::{DRAIN_LIMIT, serve};
pub use server::{HttpLimits, ServerBuilder};
