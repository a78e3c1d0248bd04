//! The sandbox as a service: its routes with health and metrics, its deliveries, one shutdown for both.

use std::time::Duration;

use service_kit::{
    http::{HttpLimits, Readiness, ServerBuilder, serve as serve_http},
    shutdown::Shutdown,
};
use tokio::net::TcpListener;

use crate::{Sandbox, SandboxError, fault};

/// Beyond the longest wait that anybody can ask the sandbox for.
const TIME_LIMIT_MARGIN: Duration = Duration::from_secs(30);

/// Serves a migrated sandbox on this listener and delivers its webhooks until the shutdown begins; requests that are
/// held without an answer are let go then.
pub async fn serve(
    sandbox: &Sandbox,
    listener: TcpListener,
    shutdown: &Shutdown,
) -> Result<(), SandboxError> {
    let readiness = Readiness::new();
    let pool = sandbox.pool().clone();
    readiness.check("database", move || {
        let pool = pool.clone();
        async move {
            match sqlx::query("select 1").execute(&pool).await {
                Ok(_) => Ok(()),
                Err(_) => Err("the ledger's database does not answer".to_owned()),
            }
        }
    });
    let config = sandbox.config();
    let limits = HttpLimits {
        // A stand-in for a provider that takes whatever one shop sends.
        rate_limit: None,
        time_limit: config
            .timeout_hold
            .max(config.slow_delay)
            .max(fault::DELAY_MAX)
            + TIME_LIMIT_MARGIN,
        ..HttpLimits::default()
    };
    let router = ServerBuilder::new(limits)
        .readiness(readiness.clone())
        .other_routes(sandbox.router())
        .build();
    let ((), delivered) = tokio::join!(
        serve_http(listener, router, readiness, shutdown),
        sandbox.run_webhooks(shutdown.token().clone()),
    );
    delivered
}
