//! The notifier as a process.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::Client;
use service_kit::Settings;
use tokio::process::{Child, Command};

use super::{free_address, peak_of};
use crate::bench::saga::shop::role;

const LEADS: &str = "waybill_notifier_leads 1";
const READY_LIMIT: Duration = Duration::from_secs(60);
const READY_PERIOD: Duration = Duration::from_millis(20);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

pub struct Program {
    process: Child,
}

impl Program {
    /// Starts it with this mail API as its only provider, and waits until it leads.
    pub async fn start(settings: &Settings, mail_api: &str) -> anyhow::Result<Self> {
        let address = free_address().await?;
        let mut command = role(settings, "notifier", &address);
        command
            .env("WAYBILL_MAIL_API_URL", mail_api)
            .env("WAYBILL_MAIL_API_KEY", "re_bench");
        for other in [
            "WAYBILL_SMTP_URL",
            "WAYBILL_SMTP_URL_FILE",
            "WAYBILL_SMS_URL",
            "WAYBILL_FCM_CREDENTIALS_FILE",
        ] {
            command.env_remove(other);
        }
        let mut program = Self {
            process: command.spawn().context("the notifier's program")?,
        };
        let http = Client::builder()
            .no_proxy()
            .timeout(REQUEST_LIMIT)
            .build()?;
        let url = format!("http://{address}/metrics");
        let until = Instant::now() + READY_LIMIT;
        loop {
            if let Ok(answer) = http.get(&url).send().await
                && answer.text().await.is_ok_and(|text| text.contains(LEADS))
            {
                return Ok(program);
            }
            if let Some(status) = program.process.try_wait()? {
                bail!("the notifier ended with {status} before it was ready");
            }
            if Instant::now() > until {
                bail!(
                    "the notifier did not lead within {} s",
                    READY_LIMIT.as_secs()
                );
            }
            tokio::time::sleep(READY_PERIOD).await;
        }
    }

    /// The most memory that it ever had.
    pub fn peak_memory_bytes(&self) -> Option<u64> {
        peak_of(self.process.id()?)
    }

    /// Ends it in order.
    pub async fn end(mut self) {
        if let Some(pid) = self.process.id() {
            let _sent = Command::new("kill")
                .args(["-TERM", &pid.to_string()])
                .status()
                .await;
        }
        // Dropping it kills it, if that is still needed.
        let _ended = tokio::time::timeout(STOP_LIMIT, self.process.wait()).await;
    }
}
