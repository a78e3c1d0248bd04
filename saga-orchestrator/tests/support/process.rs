//! The orchestrator as a process of its own: it can be killed and frozen from outside.

use std::process::{Child, Command, Stdio};

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::sandbox::{ANSWER_DEADLINE, Provider};
use super::shop::Shop;

pub struct Process {
    child: Child,
    _data: TempDir,
}

impl Process {
    /// All processes of these tests have one name, which must make no difference.
    pub fn start(shop: &Shop, provider: &Provider) -> Self {
        let data = tempfile::tempdir().unwrap();
        let account = provider.account();
        let child = Command::new(env!("CARGO_BIN_EXE_saga-orchestrator"))
            .env("WAYBILL_NATS_URL", shop.server.url())
            .env("WAYBILL_HTTP_ADDR", "127.0.0.1:0")
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
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, _data: data }
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

impl Drop for Process {
    fn drop(&mut self) {
        // A frozen process is killed all the same.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
