//! A durable stand-in payment provider that speaks the subset of Stripe's API that Waybill uses.
//!
//! Everything it has answered, and everything it has done without being able to answer, is in the
//! Postgres schema `sandbox`; nothing of importance lives in memory. Webhooks go through an outbox
//! in the same transaction as the change that they report.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests fail by panicking"
    )
)]

mod auth;
mod call;
mod card;
mod charge;
mod config;
mod dashboard;
mod error;
mod event;
mod fault;
mod form;
mod hosted;
mod id;
mod idempotency;
mod incoming;
mod intent;
mod ledger;
mod page;
mod refund;
mod role;
mod service;
mod session;
mod timers;
mod webhook;
mod work;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, routing::any};
use sqlx::{PgPool, migrate::MigrateError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use crate::config::{Config, UrlError};
pub use crate::role::{SandboxArgs, run};
pub use crate::service::serve;
pub use crate::webhook::signature;

/// The largest request body that is read.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// Why the sandbox could not start or keep running.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The ledger's tables could not be created or are of another version.
    #[error("the sandbox's ledger could not be migrated")]
    Migrate(#[from] MigrateError),
    /// The client that delivers webhooks could not be built.
    #[error("the client for webhooks could not be built")]
    WebhookClient(#[source] reqwest::Error),
}

/// The provider: cheap to clone, all clones share one ledger.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    pool: PgPool,
    config: Config,
    /// Woken after each commit that left an event in the outbox.
    outbox: Notify,
    /// Cancelled when held requests must let go of their connections.
    closing: CancellationToken,
}

impl Sandbox {
    /// A sandbox over this database. Call [`Sandbox::migrate`] before serving.
    #[must_use]
    pub fn new(pool: PgPool, config: Config) -> Self {
        Self {
            inner: Arc::new(Inner {
                pool,
                config,
                outbox: Notify::new(),
                closing: CancellationToken::new(),
            }),
        }
    }

    /// Creates or upgrades the schema `sandbox`. Safe to run from several processes at once.
    pub async fn migrate(&self) -> Result<(), SandboxError> {
        let mut migrator = sqlx::migrate!("./migrations");
        migrator.create_schema("sandbox");
        migrator.dangerous_set_table_name("sandbox._sqlx_migrations");
        migrator.run(&self.inner.pool).await?;
        Ok(())
    }

    /// Every route: Stripe's API under `/v1`, the hosted page under `/pay`, the tester's desk under `/sandbox`.
    pub fn router(&self) -> Router {
        Router::new()
            .merge(intent::routes())
            .merge(session::routes())
            .merge(refund::routes())
            .merge(charge::routes())
            .merge(event::routes())
            .merge(hosted::routes())
            .merge(fault::routes())
            .merge(ledger::routes())
            .merge(dashboard::routes())
            .route("/v1/{*unknown}", any(incoming::unknown_route))
            .method_not_allowed_fallback(incoming::unknown_route)
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self.clone())
    }

    /// Delivers webhooks and lets time pass (sessions expire, pending payments and refunds settle)
    /// until `shutdown` fires. Several processes may run it on one ledger.
    pub async fn run_webhooks(&self, shutdown: CancellationToken) -> Result<(), SandboxError> {
        let client = webhook::client().map_err(SandboxError::WebhookClient)?;
        let release = async {
            shutdown.cancelled().await;
            self.release_held_requests();
        };
        tokio::join!(
            webhook::run(self, &client, &shutdown),
            timers::run(self, &shutdown),
            release
        );
        Ok(())
    }

    /// Lets go of the requests that are being held without an answer, so that a graceful stop need not wait for
    /// them. [`Sandbox::run_webhooks`] does it when its token fires.
    pub fn release_held_requests(&self) {
        self.inner.closing.cancel();
    }

    fn pool(&self) -> &PgPool {
        &self.inner.pool
    }

    fn config(&self) -> &Config {
        &self.inner.config
    }

    fn closing(&self) -> &CancellationToken {
        &self.inner.closing
    }

    fn outbox(&self) -> &Notify {
        &self.inner.outbox
    }
}
