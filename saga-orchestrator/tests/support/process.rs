//! The orchestrator as a process of its own: it can be killed and frozen from outside.

use std::process::{Child, Command, Stdio};

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::sandbox::{ANSWER_DEADLINE, Provider};
use super::shop::Shop;

pub struct Process {
    child: Child,
    port: u16,
    _data: TempDir,
}

impl Process {
    /// All processes of these tests have one name, which must make no difference.
    pub fn start(shop: &Shop, provider: &Provider) -> Self {
        Self::start_with(shop, provider, &[])
    }

    /// One with settings of its own.
    pub fn start_with(shop: &Shop, provider: &Provider, settings: &[(&str, &str)]) -> Self {
        Self::spawn(&shop.server.url(), provider, settings)
    }

    /// One that knows the broker by another address.
    pub fn start_at(nats_url: &str, provider: &Provider) -> Self {
        Self::spawn(nats_url, provider, &[])
    }

    fn spawn(nats_url: &str, provider: &Provider, settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let account = provider.account();
        let port = free_port();
        let child = Command::new(env!("CARGO_BIN_EXE_saga-orchestrator"))
            .env("WAYBILL_NATS_URL", nats_url)
            .env("WAYBILL_HTTP_ADDR", format!("127.0.0.1:{port}"))
            .env("WAYBILL_DATA_DIR", data.path())
            .env("WAYBILL_INSTANCE", "twin")
            .env("WAYBILL_PAYMENT_URL", &account.url)
            .env("WAYBILL_PAYMENT_KEY", account.api_key.expose_secret())
            .env(
                "WAYBILL_PAYMENT_WEBHOOK_SECRET",
                account.webhook_secret.expose_secret(),
            )
            .env(
                "WAYBILL_PAYMENT_ANSWER_DEADLINE",
                format!("{}ms", ANSWER_DEADLINE.as_millis()),
            )
            .env("WAYBILL_LOG", "warn")
            .envs(settings.iter().copied())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            port,
            _data: data,
        }
    }

    /// What `/readyz?verbose` says: the status, and the words.
    pub async fn readiness(&self) -> Option<(u16, String)> {
        let url = format!("http://127.0.0.1:{}/readyz?verbose", self.port);
        let answer = reqwest::get(url).await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn freeze(&self) {
        self.signal("STOP");
    }

    pub fn wake(&self) {
        self.signal("CONT");
    }

    /// Asks for an orderly end and waits for it.
    pub fn stop(mut self) -> bool {
        self.signal("TERM");
        self.child.wait().unwrap().success()
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Drop for Process {
    fn drop(&mut self) {
        // A frozen process is killed all the same.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
