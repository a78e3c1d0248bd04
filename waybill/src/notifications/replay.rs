//! `waybill notifications replay`: asked of the NATS service `notifications`.

use std::time::Duration;

use anyhow::{Context, bail};
use async_nats::HeaderMap;
use serde_json::{Value, json};
use service_kit::{Settings, nats};

use crate::cli::NotificationsCommand;
use crate::{out, running};

/// A long period is read from the log and intended again one by one.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// Asks, and prints the answer.
pub async fn replay(settings: &Settings, command: NotificationsCommand) -> anyhow::Result<()> {
    let NotificationsCommand::Replay {
        delivery,
        order,
        partner,
        from,
        to,
        dry_run,
    } = command
    else {
        bail!("only a replay is asked of the notifier");
    };
    let wanted: Value = match delivery {
        Some(delivery) => json!({"delivery_id": delivery, "history_id": order}),
        None => json!({"partner_id": partner, "from": from, "to": to}),
    };
    let settings = running::or_settings(settings)?;
    let client = nats::connect(&settings, "operator").await?;
    let mut headers = HeaderMap::new();
    if dry_run {
        headers.insert("Dry-Run", "1");
    }
    let request = async_nats::Request::new()
        .payload(wanted.to_string().into())
        .headers(headers)
        .timeout(Some(ANSWER_MAX));
    let answer = client
        .send_request("notifications.replay", request)
        .await
        .context("no notifier answers")?;
    let said = String::from_utf8_lossy(&answer.payload)
        .trim_end()
        .to_owned();
    if answer
        .headers
        .is_some_and(|headers| headers.get("Nats-Service-Error-Code").is_some())
    {
        bail!("{said}");
    }
    out::line(said);
    Ok(())
}
