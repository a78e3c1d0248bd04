//! The notifier as a process.

use service_kit::Settings;

use crate::bench::process::{Ready, RoleProcess, memory_of};

const LEADS: &str = "waybill_notifier_leads 1";

pub struct Program(RoleProcess);

impl Program {
    /// Starts it with this mail API as its only provider, and waits until it leads.
    pub async fn start(settings: &Settings, mail_api: &str) -> anyhow::Result<Self> {
        let started = RoleProcess::start(settings, "notifier", Ready::Metric(LEADS), |command| {
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
        });
        Ok(Self(started.await?))
    }

    /// The most memory that it ever had.
    pub fn peak_memory_bytes(&self) -> Option<u64> {
        memory_of(self.0.pid()?).map(|memory| memory.peak)
    }

    /// Ends it in order.
    pub async fn end(self) {
        self.0.close().await;
    }
}
