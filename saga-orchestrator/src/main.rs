//! The saga orchestrator as a process of its own.

use std::sync::Arc;

use clap::Parser;
use saga_orchestrator::{Deps, Service};
use service_kit::http::{HttpLimits, ServerBuilder, serve};
use service_kit::shutdown::{Lifetimes, Shutdown};
use service_kit::{SettingsArgs, telemetry};
use tokio::net::TcpListener;

const ROLE: &str = "saga-orchestrator";

/// Runs sagas: effects to the payment provider, deadlines, takeover, operator desk.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    settings: SettingsArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Arc::new(Cli::parse().settings.resolve()?);
    service_kit::crypto::install()?;
    telemetry::init(&settings)?;
    settings.log_effective();
    let shutdown = Shutdown::new();
    shutdown.listen_for_signals()?;

    let listener = TcpListener::bind(settings.http_addr).await?;
    let service = Service::new(Deps::connect(Arc::clone(&settings), ROLE).await?).await?;
    let readiness = service.readiness();
    let router = ServerBuilder::new(HttpLimits::default())
        .readiness(readiness.clone())
        .other_routes(service.router())
        .build();
    let lifetimes = Lifetimes::new(shutdown.clone());
    lifetimes.spawn_supervised(ROLE, service.run(shutdown.clone()));
    serve(listener, router, readiness, &shutdown).await;
    Ok(lifetimes.ended(service_kit::http::DRAIN_LIMIT).await?)
}
