//! What services share: settings, telemetry, shutdown, health, problem+json, auth, limits, vault.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests fail by panicking"
    )
)]

pub mod auth;
pub mod crypto;
pub mod cursor;
pub mod extract;
pub mod http;
pub mod idempotency;
pub mod mail;
pub mod nats;
pub mod oidc;
pub mod openapi;
pub mod passwords;
pub mod payment;
pub mod pictures;
pub mod postgres;
pub mod problem;
pub mod process;
pub mod push_key;
pub mod settings;
pub mod shutdown;
pub mod signing;
pub mod standard_webhooks;
pub mod telemetry;
pub mod time;
pub mod validation;
pub mod vault;

pub use auth::{Access, ApiRouter, Caller, Role, RouteRule};
pub use problem::Problem;
pub use settings::{Settings, SettingsArgs};
pub use shutdown::{Lifetimes, Shutdown};
pub use time::Clock;
pub use utoipa_axum::routes;
pub use validation::Validation;
pub use vault::{Vault, VaultError};

/// Of every process of ours.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
