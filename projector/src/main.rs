//! The role `projector` alone.

use std::sync::Arc;

use clap::Parser;

use service_kit::SettingsArgs;

/// Builds Waybill's read models and answers every GET of the API.
#[derive(Parser)]
#[command(name = "projector", version)]
struct Arguments {
    #[command(flatten)]
    settings: SettingsArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    projector::run(Arc::new(Arguments::parse().settings.resolve()?), None).await
}
