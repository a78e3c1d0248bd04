//! Runs the payment sandbox as a service of its own.

use anyhow::Result;
use clap::Parser;
use payment_sandbox::SandboxArgs;
use service_kit::{settings::SettingsArgs, telemetry};

/// A payment provider for development and tests: it speaks the part of Stripe's API that Waybill uses.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let settings = cli.settings.resolve()?;
    service_kit::crypto::install()?;
    telemetry::init(&settings, "payment-sandbox")?;
    payment_sandbox::run(&cli.sandbox, &settings).await
}
