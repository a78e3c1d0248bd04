//! The message sandbox of `up`: mail, SMS and pushes of the shop go there as far as the settings name nobody else, and the
//! demo's seller has his system there. On ports that stay the same over restarts, because the seller's address has one of
//! them in it.

use std::path::Path;

use anyhow::Context;
use message_sandbox::{Config, FcmAccount, Sandbox};
use secrecy::SecretString;
use serde::Deserialize;
use service_kit::push_key::PushKey;
use service_kit::settings::{FcmSettings, SmsSettings, SmtpSettings, WebPushSettings};
use service_kit::{Lifetimes, Settings};
use tokio::net::TcpListener;

use super::sandbox::listen;

const FOLDER: &str = "messages";
/// Whom the sandbox takes us for; it believes everybody.
const SMS_ACCOUNT: &str = "ACsandbox";
const PUSH_SUBJECT: &str = "mailto:shop@example.com";
const SMS_FROM: &str = "+15005550006";
/// The demo's seller.
const SELLER: &str = "lumen";

/// The sandbox as others see it.
#[derive(Debug, Clone)]
pub struct Messages {
    /// Base URL of its APIs and its page.
    pub url: String,
}

impl Messages {
    /// Where the mails and everything else are shown.
    pub fn page(&self) -> String {
        format!("{}/messages", self.url)
    }

    /// The webhook of the demo's seller.
    pub fn seller_webhook(&self) -> String {
        format!("{}/webhooks/{SELLER}", self.url)
    }
}

/// Starts it, and points what the settings leave open at it.
pub async fn start(
    settings: &Settings,
    lifetimes: &Lifetimes,
) -> anyhow::Result<(Messages, Settings)> {
    let http = listen(&settings.data_dir, "messages.port").await?;
    let smtp = listen(&settings.data_dir, "smtp.port").await?;
    let url = format!("http://{}", http.local_addr()?);
    let config = Config::new(&url).in_folder(folder(&settings.data_dir));
    let sandbox = tokio::task::spawn_blocking(move || Sandbox::open(&config))
        .await?
        .context("the message sandbox cannot be opened")?;
    let settings = pointed(settings, &url, &smtp, sandbox.account())?;
    let shutdown = lifetimes.shutdown().clone();
    lifetimes.spawn_supervised("message sandbox", async move {
        message_sandbox::serve(&sandbox, http, smtp, &shutdown).await;
        Ok::<(), std::convert::Infallible>(())
    });
    Ok((Messages { url }, settings))
}

fn folder(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join(FOLDER)
}

/// The settings with the sandbox where they name nobody.
fn pointed(
    settings: &Settings,
    url: &str,
    smtp: &TcpListener,
    account: &FcmAccount,
) -> anyhow::Result<Settings> {
    let mut settings = settings.clone();
    if settings.smtp.is_none() && settings.mail_api.is_none() {
        settings.smtp = Some(SmtpSettings {
            url: SecretString::from(format!("smtp://{}", smtp.local_addr()?)),
            from: settings.mail_from.clone(),
        });
    }
    if settings.sms.is_none() {
        settings.sms = Some(SmsSettings {
            url: url.to_owned(),
            account: SMS_ACCOUNT.to_owned(),
            token: SecretString::from("sandbox"),
            from: SMS_FROM.to_owned(),
        });
    }
    if settings.fcm.is_none() {
        settings.fcm = Some(push_account(url, account)?);
    }
    if settings.webpush.is_none() {
        // The sandbox's browsers take pushes under any key.
        settings.webpush = Some(WebPushSettings {
            key: PushKey::fresh()?,
            subject: PUSH_SUBJECT.to_owned(),
        });
    }
    if settings.webhook_allow_nets.is_none() {
        settings.webhook_allow_nets = Some(vec![super::loopback()]);
    }
    Ok(settings)
}

#[derive(Deserialize)]
struct KeyFile {
    project_id: String,
    client_email: String,
    private_key_id: String,
    private_key: String,
    token_uri: String,
}

fn push_account(url: &str, account: &FcmAccount) -> anyhow::Result<FcmSettings> {
    let file: KeyFile = serde_json::from_str(&account.key_file()?)?;
    Ok(FcmSettings {
        url: url.to_owned(),
        project_id: file.project_id,
        client_email: file.client_email,
        private_key_id: file.private_key_id,
        private_key: SecretString::from(file.private_key),
        token_uri: file.token_uri,
    })
}
