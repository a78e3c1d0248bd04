//! The role `command-api` alone: every method of the API but GET.

use std::sync::Arc;

use clap::Parser;

use command_api::{Deps, Service};
use service_kit::SettingsArgs;
use service_kit::http::Readiness;
use service_kit::process::{Served, run_role};

const ROLE: &str = "command-api";

/// Serves Waybill's commands: every method of the API but GET.
#[derive(Parser)]
#[command(name = ROLE, version, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    settings: SettingsArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Arc::new(Arguments::parse().settings.resolve()?);
    run_role(settings, ROLE, |settings, lifetimes| async move {
        let deps = Deps::connect(settings, ROLE).await?;
        let tokens = Arc::clone(&deps.tokens);
        let service = Service::new(deps).await?;
        let readiness = Readiness::new();
        service.readiness(&readiness);
        let api = service.api();
        let shutdown = lifetimes.shutdown().clone();
        lifetimes.spawn_supervised("commands over the broker", service.run(shutdown));
        Ok(Served {
            api: Some(api),
            tokens: Some(tokens),
            readiness,
        })
    })
    .await
}
