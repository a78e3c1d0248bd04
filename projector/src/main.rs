//! The role `projector` alone: settings, connections, serve, drain.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use tokio::net::TcpListener;

use projector::{Deps, Service};
use service_kit::http::{DRAIN_LIMIT, Readiness, ServerBuilder, serve};
use service_kit::signing::{SigningKey, Tokens};
use service_kit::{Clock, Lifetimes, SettingsArgs, Shutdown, crypto, telemetry};

const ROLE: &str = "projector";

/// Builds Waybill's read models and answers every GET of the API.
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

    let service = Service::new(Deps::connect(Arc::clone(&settings), ROLE).await?).await?;
    let key = SigningKey::load_or_create(&settings.signing_key_file).context("the signing key")?;
    let readiness = Readiness::new();
    service.readiness(&readiness);
    let router = ServerBuilder::new(&*settings)
        .tokens(Arc::new(Tokens::new(&key, Clock::system())))
        .readiness(readiness.clone())
        .api(service.api())
        .build();
    let listener = TcpListener::bind(settings.http_addr)
        .await
        .with_context(|| format!("{} cannot be listened on", settings.http_addr))?;
    tracing::info!(address = %settings.http_addr, "serving queries");

    let lifetimes = Lifetimes::new(shutdown.clone());
    lifetimes.spawn_supervised("the projector", service.run(shutdown.clone()));
    lifetimes.spawn_supervised("queries over HTTP", async move {
        serve(listener, router, readiness, &shutdown).await;
        Ok::<_, anyhow::Error>(())
    });
    // A little longer than the server gives open requests, so that it is the one to say what was cut off.
    lifetimes.ended(DRAIN_LIMIT * 2).await?;
    Ok(())
}
