//! Waybill's roles as processes of their own on the bench's servers, as a shop runs them.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use service_kit::Settings;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

const READY_LIMIT: Duration = Duration::from_secs(60);
const READY_PERIOD: Duration = Duration::from_millis(20);
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// What tells that a process can do its work.
#[derive(Debug, Clone, Copy)]
pub enum Ready {
    /// `/readyz` says so.
    Says,
    /// This line is in its `/metrics`.
    Metric(&'static str),
}

/// A role that runs; killed when dropped.
pub struct RoleProcess {
    address: String,
    process: Mutex<Option<Child>>,
}

impl RoleProcess {
    /// Starts a role with some settings on top, and waits until it is ready.
    pub async fn start(
        settings: &Settings,
        role: &str,
        ready: Ready,
        also: impl FnOnce(&mut Command),
    ) -> anyhow::Result<Self> {
        let address = free_address().await?;
        let mut command = command(settings, role, &address);
        also(&mut command);
        let process = command
            .spawn()
            .with_context(|| format!("the program of {role}"))?;
        let started = Self {
            address,
            process: Mutex::new(Some(process)),
        };
        started.wait_until(ready, role).await?;
        Ok(started)
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where it listens, as a browser spells it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its number.
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().and_then(Child::id)
    }

    /// Ends it in order; it is killed when it takes too long.
    pub async fn close(&self) {
        let process = self.process().take();
        let Some(mut process) = process else { return };
        if let Some(pid) = process.id() {
            let _sent = Command::new("kill")
                .args(["-TERM", &pid.to_string()])
                .status()
                .await;
        }
        // Dropping it kills it, if that is still needed.
        let _ended = tokio::time::timeout(STOP_LIMIT, process.wait()).await;
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait_until(&self, ready: Ready, role: &str) -> anyhow::Result<()> {
        let http = Client::builder()
            .no_proxy()
            .timeout(REQUEST_LIMIT)
            .build()?;
        let path = match ready {
            Ready::Says => "/readyz",
            Ready::Metric(_) => "/metrics",
        };
        let url = format!("{}{path}", self.url());
        let until = Instant::now() + READY_LIMIT;
        loop {
            if let Ok(answer) = http.get(&url).send().await
                && answer.status().is_success()
            {
                match ready {
                    Ready::Says => return Ok(()),
                    Ready::Metric(line) => {
                        if answer.text().await.is_ok_and(|text| text.contains(line)) {
                            return Ok(());
                        }
                    }
                }
            }
            let ended = self
                .process()
                .as_mut()
                .and_then(|process| process.try_wait().ok().flatten());
            if let Some(status) = ended {
                bail!("{role} ended with {status} before it was ready");
            }
            if Instant::now() > until {
                bail!("{role} was not ready within {} s", READY_LIMIT.as_secs());
            }
            tokio::time::sleep(READY_PERIOD).await;
        }
    }
}

/// This very program in another role, on the same servers; killed when dropped.
pub fn command(settings: &Settings, role: &str, address: &str) -> Command {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("waybill"));
    let mut command = Command::new(program);
    command
        .arg(role)
        .env("WAYBILL_HTTP_ADDR", address)
        .env(
            "WAYBILL_NATS_URL",
            settings.nats_url.as_deref().unwrap_or_default().join(","),
        )
        .env(
            "WAYBILL_DATABASE_URL",
            settings
                .database_url
                .as_ref()
                .map_or("", SecretString::expose_secret),
        )
        .env("WAYBILL_DATA_DIR", &settings.data_dir)
        .env("WAYBILL_SIGNING_KEY_FILE", &settings.signing_key_file)
        .env(
            "WAYBILL_STREAM_REPLICAS",
            settings.stream_replicas.to_string(),
        )
        .env("WAYBILL_RATE_LIMIT", "off")
        .env("WAYBILL_LOG", "error")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

/// An address that nobody listens on now.
pub async fn free_address() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .context("no free port")?;
    Ok(listener.local_addr()?.to_string())
}

/// What a process takes of the memory.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Now, in bytes.
    pub now: u64,
    /// At most so far, in bytes.
    pub peak: u64,
}

/// What a process takes of the memory; nothing where the system does not tell.
pub fn memory_of(pid: u32) -> Option<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    };
    Some(Memory {
        now: bytes("VmRSS:")?,
        peak: bytes("VmHWM:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_this_process_is_known_where_there_is_proc() {
        if std::path::Path::new("/proc/self/status").exists() {
            let Memory { now, peak } = memory_of(std::process::id()).unwrap();
            assert!(now > 1024 * 1024 && peak >= now);
        }
        assert!(memory_of(u32::MAX).is_none());
    }
}
