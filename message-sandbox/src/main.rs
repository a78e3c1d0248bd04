//! Runs the message sandbox as a service of its own.

use anyhow::Result;
use clap::Parser;
use message_sandbox::MessageSandboxArgs;
use service_kit::{settings::SettingsArgs, telemetry};

/// Mail, SMS and push services for development and tests; what arrives is shown and goes nowhere.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    sandbox: MessageSandboxArgs,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let settings = cli.settings.resolve()?;
    service_kit::crypto::install()?;
    telemetry::init(&settings, "message-sandbox")?;
    message_sandbox::run(&cli.sandbox, &settings).await
}
