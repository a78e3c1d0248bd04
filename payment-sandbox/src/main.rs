//! Runs the payment sandbox as a service of its own.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use payment_sandbox::{Config, Sandbox, serve};
use secrecy::SecretString;
use service_kit::{Settings, postgres, settings::SettingsArgs, shutdown::Shutdown, telemetry};
use tokio::net::TcpListener;

const CONNECTIONS_MAX: u32 = 16;

/// A payment provider for development and tests: it speaks the part of Stripe's API that Waybill uses.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Where the sandbox is served.
    #[arg(
        long,
        env = "WAYBILL_SANDBOX_ADDR",
        value_name = "IP:PORT",
        default_value = "127.0.0.1:12111"
    )]
    sandbox_addr: SocketAddr,
    /// The address under which customers reach the hosted pages [default: the one it is served at].
    #[arg(long, env = "WAYBILL_SANDBOX_PUBLIC_URL", value_name = "URL")]
    sandbox_public_url: Option<String>,
    /// Where webhooks are delivered.
    #[arg(
        long,
        env = "WAYBILL_SANDBOX_WEBHOOK_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080/v1/webhooks/payments/sandbox"
    )]
    sandbox_webhook_url: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let settings = cli.settings.resolve()?;
    service_kit::crypto::install()?;
    telemetry::init(&settings)?;
    run(&cli, &settings).await
}

async fn run(cli: &Cli, settings: &Settings) -> Result<()> {
    let key = secret(
        "WAYBILL_PAYMENT_KEY",
        cli.settings.payment_key.as_deref(),
        cli.settings.payment_key_file.as_ref(),
    )?;
    let webhook_secret = secret(
        "WAYBILL_PAYMENT_WEBHOOK_SECRET",
        cli.settings.payment_webhook_secret.as_deref(),
        cli.settings.payment_webhook_secret_file.as_ref(),
    )?;
    let shutdown = Shutdown::new();
    shutdown
        .listen_for_signals()
        .context("signals cannot be listened for")?;

    let pool =
        postgres::connect(settings.database_url()?, "payment-sandbox", CONNECTIONS_MAX).await?;
    let listener = TcpListener::bind(cli.sandbox_addr).await.with_context(|| {
        format!(
            "{} (WAYBILL_SANDBOX_ADDR) cannot be served",
            cli.sandbox_addr
        )
    })?;
    let public_url = match &cli.sandbox_public_url {
        Some(url) => url.clone(),
        None => format!("http://{}", listener.local_addr()?),
    };
    let config = Config::new(key, webhook_secret, &public_url)
        .context("WAYBILL_SANDBOX_PUBLIC_URL cannot be used")?
        .with_webhook_url(&cli.sandbox_webhook_url)
        .context("WAYBILL_SANDBOX_WEBHOOK_URL cannot be used")?;

    let sandbox = Sandbox::new(pool, config);
    sandbox.migrate().await?;
    tracing::info!(address = public_url, "the payment sandbox is ready");
    serve(&sandbox, listener, &shutdown).await?;
    Ok(())
}

fn secret(name: &str, value: Option<&str>, file: Option<&PathBuf>) -> Result<SecretString> {
    let text = match (value, file) {
        (Some(value), _) => value.to_owned(),
        (None, Some(file)) => std::fs::read_to_string(file)
            .with_context(|| format!("{name}_FILE ({}) cannot be read", file.display()))?
            .trim()
            .to_owned(),
        (None, None) => {
            anyhow::bail!("{name} is not set: it is what Waybill and the sandbox share")
        }
    };
    anyhow::ensure!(!text.is_empty(), "{name} is empty");
    Ok(SecretString::from(text))
}
