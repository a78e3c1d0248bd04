//! The role `command-api` alone: settings, connections, serve, drain.

use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use tokio::net::TcpListener;

use command_api::{Deps, Service};
use service_kit::http::{DRAIN_LIMIT, Readiness, ServerBuilder, serve};
use service_kit::{Lifetimes, SettingsArgs, Shutdown, crypto, telemetry};

const ROLE: &str = "command-api";

/// Serves Waybill's commands: every method of the API but GET.
#[derive(Parser)]
#[command(name = ROLE, version)]
struct Arguments {
    #[command(flatten)]
    settings: SettingsArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    crypto::install()?;
    let settings = Arc::new(Arguments::parse().settings.resolve()?);
    telemetry::init(&settings)?;
    settings.log_effective();
    let shutdown = Shutdown::new();
    shutdown
        .listen_for_signals()
        .context("signals cannot be listened for")?;

    let deps = Deps::connect(Arc::clone(&settings), ROLE).await?;
    let tokens = Arc::clone(&deps.tokens);
    let service = Service::new(deps).await?;
    let readiness = Readiness::new();
    service.readiness(&readiness);
    let router = ServerBuilder::new(&*settings)
        .tokens(tokens)
        .readiness(readiness.clone())
        .api(service.api())
        .build();
    let listener = TcpListener::bind(settings.http_addr)
        .await
        .with_context(|| format!("{} cannot be listened on", settings.http_addr))?;
    tracing::info!(address = %settings.http_addr, "serving commands");

    let lifetimes = Lifetimes::new(shutdown.clone());
    lifetimes.spawn_supervised("commands over the broker", service.run(shutdown.clone()));
    lifetimes.spawn_supervised("commands over HTTP", async move {
        serve(listener, router, readiness, &shutdown).await;
        Ok::<_, anyhow::Error>(())
    });
    // A little longer than the server gives open requests, so that it is the one to say what was cut off.
    lifetimes.ended(DRAIN_LIMIT * 2).await?;
    Ok(())
}
