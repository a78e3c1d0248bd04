//! The role `notifier` alone.

use std::sync::Arc;

use clap::Parser;

use service_kit::SettingsArgs;

/// Tells people what happened: e-mail, SMS, push and webhooks, at most once each.
#[derive(Parser)]
#[command(name = "notifier", version)]
struct Arguments {
    #[command(flatten)]
    settings: SettingsArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    notifier::run(Arc::new(Arguments::parse().settings.resolve()?)).await
}
