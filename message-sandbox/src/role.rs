//! The sandbox as a process of its own.

use std::net::SocketAddr;

use anyhow::Context;
use clap::Args;
use service_kit::{Settings, Shutdown};
use tokio::net::TcpListener;

use crate::{Config, Sandbox, serve};

/// The folder in the data folder.
const FOLDER: &str = "messages";

/// What only the sandbox needs to be told.
#[derive(Debug, Clone, Args)]
pub struct MessageSandboxArgs {
    /// Where its APIs and its page are served.
    #[arg(
        long,
        env = "WAYBILL_MESSAGE_SANDBOX_ADDR",
        value_name = "IP:PORT",
        default_value = "127.0.0.1:12112"
    )]
    pub message_sandbox_addr: SocketAddr,
    /// Where it takes mail.
    #[arg(
        long,
        env = "WAYBILL_MESSAGE_SANDBOX_SMTP_ADDR",
        value_name = "IP:PORT",
        default_value = "127.0.0.1:12125"
    )]
    pub message_sandbox_smtp_addr: SocketAddr,
    /// The address under which it is reached [default: the one it is served at].
    #[arg(long, env = "WAYBILL_MESSAGE_SANDBOX_PUBLIC_URL", value_name = "URL")]
    pub message_sandbox_public_url: Option<String>,
}

/// Runs until the first signal.
///
/// # Errors
/// When an address or the folder cannot be had.
pub async fn run(args: &MessageSandboxArgs, settings: &Settings) -> anyhow::Result<()> {
    let shutdown = Shutdown::new();
    shutdown
        .listen_for_signals()
        .context("signals cannot be listened for")?;
    let bind = async |address: SocketAddr, name: &str| {
        TcpListener::bind(address)
            .await
            .with_context(|| format!("{address} ({name}) cannot be served"))
    };
    let http = bind(args.message_sandbox_addr, "WAYBILL_MESSAGE_SANDBOX_ADDR").await?;
    let smtp = bind(
        args.message_sandbox_smtp_addr,
        "WAYBILL_MESSAGE_SANDBOX_SMTP_ADDR",
    )
    .await?;
    let public_url = match &args.message_sandbox_public_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("http://{}", http.local_addr()?),
    };
    let config = Config::new(&public_url).in_folder(settings.data_dir.join(FOLDER));
    let sandbox = Sandbox::open(&config)?;
    tracing::info!(
        page = %format!("{public_url}/messages"),
        smtp = %smtp.local_addr()?,
        fcm_credentials = ?sandbox.account().path(),
        "the message sandbox is ready"
    );
    serve(&sandbox, http, smtp, &shutdown).await;
    Ok(())
}
