//! The sandbox as a process of its own: where it listens, its secrets, its ledger.

use std::net::SocketAddr;

use anyhow::Context;
use clap::Args;
use service_kit::payment::ProviderAccount;
use service_kit::signing::SigningKey;
use service_kit::{Settings, Shutdown, postgres};
use tokio::net::TcpListener;

use crate::{Config, Sandbox, serve};

const CONNECTIONS_MAX: u32 = 16;

/// What only the sandbox needs to be told. Its key and signing secret are those of the settings that all roles share
/// (WAYBILL_PAYMENT_KEY, WAYBILL_PAYMENT_WEBHOOK_SECRET with WAYBILL_PAYMENT_URL), else derived from the installation's
/// signing key as the other roles derive them.
#[derive(Debug, Clone, Args)]
pub struct SandboxArgs {
    /// Where the sandbox is served.
    #[arg(
        long,
        env = "WAYBILL_SANDBOX_ADDR",
        value_name = "IP:PORT",
        default_value = "127.0.0.1:12111"
    )]
    pub sandbox_addr: SocketAddr,
    /// The address under which customers reach the hosted pages [default: the one it is served at].
    #[arg(long, env = "WAYBILL_SANDBOX_PUBLIC_URL", value_name = "URL")]
    pub sandbox_public_url: Option<String>,
    /// Where webhooks are delivered [default: the provider's route at 127.0.0.1:8080].
    #[arg(long, env = "WAYBILL_SANDBOX_WEBHOOK_URL", value_name = "URL")]
    pub sandbox_webhook_url: Option<String>,
}

/// Runs until the first signal.
///
/// # Errors
/// When a setting cannot be used, or the database or the address cannot be had.
pub async fn run(args: &SandboxArgs, settings: &Settings) -> anyhow::Result<()> {
    let shutdown = Shutdown::new();
    shutdown
        .listen_for_signals()
        .context("signals cannot be listened for")?;
    let key = SigningKey::load_or_create(&settings.signing_key_file)?;
    let account = ProviderAccount::of(settings, &key.installation_key()?);
    let pool =
        postgres::connect(settings.database_url()?, "payment-sandbox", CONNECTIONS_MAX).await?;
    let listener = TcpListener::bind(args.sandbox_addr)
        .await
        .with_context(|| {
            let address = args.sandbox_addr;
            format!("{address} (WAYBILL_SANDBOX_ADDR) cannot be served")
        })?;
    let public_url = match &args.sandbox_public_url {
        Some(url) => url.clone(),
        None => format!("http://{}", listener.local_addr()?),
    };
    let webhook_url = args
        .sandbox_webhook_url
        .clone()
        .unwrap_or_else(|| format!("http://127.0.0.1:8080/v1/webhooks/payments/{}", account.id));
    let config = Config::new(account.api_key, account.webhook_secret, &public_url)
        .context("WAYBILL_SANDBOX_PUBLIC_URL cannot be used")?
        .with_webhook_url(&webhook_url)
        .context("WAYBILL_SANDBOX_WEBHOOK_URL cannot be used")?;
    let sandbox = Sandbox::new(pool, config);
    sandbox.migrate().await?;
    tracing::info!(address = public_url, "the payment sandbox is ready");
    serve(&sandbox, listener, &shutdown).await?;
    Ok(())
}
