//! The payment sandbox of `up`: on a loopback port of its own that stays the same over restarts, because hosted
//! checkout pages of the last run have it in their addresses.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use payment_sandbox::{Config, Sandbox};
use service_kit::crypto::InstallationKey;
use service_kit::payment::ProviderAccount;
use service_kit::{Lifetimes, Settings};
use sqlx::PgPool;
use tokio::net::TcpListener;

/// Starts the sandbox; it calls back to `http_url`.
pub async fn start(
    pool: PgPool,
    key: &InstallationKey,
    settings: &Settings,
    http_url: &str,
    lifetimes: &Lifetimes,
) -> anyhow::Result<ProviderAccount> {
    let listener = listen(&settings.data_dir, "sandbox.port").await?;
    let account = ProviderAccount::sandbox(&format!("http://{}", listener.local_addr()?), key);
    let callback = format!("{http_url}/v1/webhooks/payments/{}", account.id);
    let config = Config::new(
        account.api_key.clone(),
        account.webhook_secret.clone(),
        &account.url,
    )?
    .with_webhook_url(&callback)?
    .with_webhook_events(command_api::PAYMENT_EVENTS);
    let sandbox = Sandbox::new(pool, config);
    sandbox.migrate().await?;
    let shutdown = lifetimes.shutdown().clone();
    lifetimes.spawn_supervised("payment sandbox", async move {
        payment_sandbox::serve(&sandbox, listener, &shutdown).await
    });
    Ok(account)
}

/// The port of the last run, which is noted in a file, when it is still free; else any.
pub(super) async fn listen(data_dir: &Path, file: &str) -> anyhow::Result<TcpListener> {
    let file = data_dir.join(file);
    let last: u16 = std::fs::read_to_string(&file)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    let bind = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let listener = match bind(last).await {
        Ok(listener) => listener,
        Err(_) => bind(0).await.context("no free port for a sandbox")?,
    };
    let port = listener.local_addr()?.port();
    std::fs::write(&file, port.to_string())
        .with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(listener)
}
