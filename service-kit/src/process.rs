//! A role as a process: log, signals, one HTTP port, background work, and an orderly end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use grpc_door::Door;
use tokio::net::TcpListener;
use utoipa::openapi::OpenApi;

use crate::auth::{ApiRouter, RouteRule};
use crate::crypto;
use crate::http::{DRAIN_LIMIT, HttpLimits, Readiness, ServerBuilder, serve};
use crate::settings::Settings;
use crate::shutdown::{Lifetimes, Shutdown};
use crate::signing::Tokens;
use crate::telemetry::{self, traces};

/// How soon gRPC's health follows readiness, which asks its servers no more often than this.
const HEALTH_PERIOD: Duration = Duration::from_secs(1);

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

/// Prepares a process that does the work of this role: crypto provider, log, traces, metrics, signals. Whoever prepares
/// calls [`traces::flush`] at the end.
///
/// # Errors
/// When one of them cannot be had.
pub fn prepare(settings: &Settings, role: &'static str) -> anyhow::Result<Shutdown> {
    crypto::install()?;
    telemetry::init(settings, role)?;
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
    let shutdown = prepare(&settings, role)?;
    let ended = run_prepared(settings, role, shutdown, start).await;
    // Whatever it ended with, what led there can be looked at.
    traces::flush().await;
    ended
}

async fn run_prepared<F, Fut>(
    settings: Arc<Settings>,
    role: &'static str,
    shutdown: Shutdown,
    start: F,
) -> anyhow::Result<()>
where
    F: FnOnce(Arc<Settings>, Lifetimes) -> Fut,
    Fut: Future<Output = anyhow::Result<Served>>,
{
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
    let (router, _, table) = server.build_with_table();
    let router = with_grpc(router, &table, &served.readiness, lifetimes)?;
    if let Some(listener) = listen_for_grpc(settings).await? {
        spawn_server(
            "gRPC",
            listener,
            router.clone(),
            &served.readiness,
            lifetimes,
        );
    }
    spawn_server("HTTP", listener, router, &served.readiness, lifetimes);
    // A little longer than the server gives open requests, so that it is the one to say what was cut off.
    Ok(lifetimes.ended(DRAIN_LIMIT * 2).await?)
}

/// The same routes on an address of its own, when the settings name one.
async fn listen_for_grpc(settings: &Settings) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = settings
        .grpc_addr
        .filter(|address| *address != settings.http_addr)
    else {
        return Ok(None);
    };
    TcpListener::bind(address)
        .await
        .map(Some)
        .with_context(|| format!("{address} (WAYBILL_GRPC_ADDR) cannot be served"))
}

fn spawn_server(
    name: &'static str,
    listener: TcpListener,
    router: Router,
    readiness: &Readiness,
    lifetimes: &Lifetimes,
) {
    let (readiness, shutdown) = (readiness.clone(), lifetimes.shutdown().clone());
    lifetimes.spawn_supervised(name, async move {
        serve(listener, router, readiness, &shutdown).await;
        Ok::<_, anyhow::Error>(())
    });
}

/// Puts gRPC in front of the finished router: what stands for one of its routes, health that follows readiness, and
/// reflection.
fn with_grpc(
    router: Router,
    table: &[RouteRule],
    readiness: &Readiness,
    lifetimes: &Lifetimes,
) -> anyhow::Result<Router> {
    let served: Vec<_> = table
        .iter()
        .map(|rule| (rule.method.clone(), rule.path.clone()))
        .collect();
    let (readiness, shutdown) = (readiness.clone(), lifetimes.shutdown().clone());
    let (router, health) = Door::new(router, shutdown.token().clone()).router(&served)?;
    lifetimes.spawn_supervised("gRPC health", async move {
        loop {
            let report = readiness.report().await;
            health
                .say(report.iter().all(|(_, said)| said.is_ok()))
                .await;
            tokio::select! {
                biased;
                () = shutdown.begun() => break,
                () = tokio::time::sleep(HEALTH_PERIOD) => {}
            }
        }
        health.say(false).await;
        Ok::<_, anyhow::Error>(())
    });
    Ok(router)
}
