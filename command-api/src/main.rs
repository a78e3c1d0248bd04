//! The role `command-api` alone.

use std::sync::Arc;

use clap::Parser;

use service_kit::SettingsArgs;

/// Serves Waybill's commands: every method of the API but GET.
#[derive(Parser)]
#[command(name = "command-api", version)]
struct Arguments {
    #[command(flatten)]
    settings: SettingsArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    command_api::run(Arc::new(Arguments::parse().settings.resolve()?)).await
}
