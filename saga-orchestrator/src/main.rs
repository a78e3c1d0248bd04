//! The role `saga-orchestrator` alone.

use std::sync::Arc;

use clap::Parser;

use service_kit::SettingsArgs;

/// Runs sagas: effects to the payment provider, deadlines, takeover, operator desk.
#[derive(Parser)]
#[command(name = "saga-orchestrator", version)]
struct Arguments {
    #[command(flatten)]
    settings: SettingsArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    saga_orchestrator::run(Arc::new(Arguments::parse().settings.resolve()?)).await
}
