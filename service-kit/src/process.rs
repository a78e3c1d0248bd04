//! A role as a process: log, signals, one HTTP port, background work, and an orderly end.

use std::future::Future;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use utoipa::openapi::OpenApi;

use crate::auth::ApiRouter;
use crate::http::{DRAIN_LIMIT, HttpLimits, Readiness, ServerBuilder, serve};
use crate::settings::Settings;
use crate::shutdown::{Lifetimes, Shutdown};
use crate::signing::Tokens;
use crate::{crypto, telemetry};

/// What a role serves over HTTP.
#[derive(Default)]
pub struct Served {
    /// Its routes, each with its rule; a role without any still serves health and metrics.
    pub api: Option<ApiRouter>,
    /// Routes that another process serves at the same public address, for the document.
    pub described_elsewhere: Option<OpenApi>,
    /// Checks the callers of those routes.
    pub tokens: Option<Arc<Tokens>>,
    /// What must hold before it is sent work.
    pub readiness: Readiness,
}

/// Prepares the process: crypto provider, log, metrics, signals.
///
/// # Errors
/// When one of them cannot be had.
pub fn prepare(settings: &Settings) -> anyhow::Result<Shutdown> {
    crypto::install()?;
    telemetry::init(settings)?;
    settings.log_effective();
    let shutdown = Shutdown::new();
    shutdown
        .listen_for_signals()
        .context("signals cannot be listened for")?;
    Ok(shutdown)
}

/// Runs one role until the first signal. `start` connects, spawns its background work and says what to serve.
///
/// # Errors
/// When a server stays away, the address is taken, or the background work fails.
pub async fn run_role<F, Fut>(
    settings: Arc<Settings>,
    role: &'static str,
    start: F,
) -> anyhow::Result<()>
where
    F: FnOnce(Arc<Settings>, Lifetimes) -> Fut,
    Fut: Future<Output = anyhow::Result<Served>>,
{
    let shutdown = prepare(&settings)?;
    let lifetimes = Lifetimes::new(shutdown.clone());
    let listener = listen(&settings).await?;
    let served = tokio::select! {
        served = start(Arc::clone(&settings), lifetimes.clone()) => served?,
        () = shutdown.begun() => return Ok(()),
    };
    tracing::info!(address = %listener.local_addr()?, role, "ready");
    serve_until_ended(&settings, listener, served, Router::new(), &lifetimes).await
}

/// The address of the settings.
///
/// # Errors
/// When it is taken or not ours.
pub async fn listen(settings: &Settings) -> anyhow::Result<TcpListener> {
    let address = settings.http_addr;
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} (WAYBILL_HTTP_ADDR) cannot be served"))
}

/// Serves on the listener and waits until the shutdown has begun and everything has ended.
///
/// # Errors
/// When a background task failed.
pub async fn serve_until_ended(
    settings: &Settings,
    listener: TcpListener,
    served: Served,
    others: Router,
    lifetimes: &Lifetimes,
) -> anyhow::Result<()> {
    let mut server = ServerBuilder::new(HttpLimits::from(settings))
        .readiness(served.readiness.clone())
        .other_routes(others);
    if let Some(tokens) = served.tokens {
        server = server.tokens(tokens);
    }
    if let Some(api) = served.api {
        server = server.api(api);
    }
    if let Some(elsewhere) = served.described_elsewhere {
        server = server.described_elsewhere(elsewhere);
    }
    let router = server.build();
    let shutdown = lifetimes.shutdown().clone();
    lifetimes.spawn_supervised("HTTP", async move {
        serve(listener, router, served.readiness, &shutdown).await;
        Ok::<_, anyhow::Error>(())
    });
    // A little longer than the server gives open requests, so that it is the one to say what was cut off.
    Ok(lifetimes.ended(DRAIN_LIMIT * 2).await?)
}
