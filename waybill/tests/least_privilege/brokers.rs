//! The three brokers of `docker/compose.yaml` as processes on this machine, with the shipped configuration.

use std::path::{Path, PathBuf};

use async_nats::{Client, ConnectOptions, ServerAddr};
use dev_servers::Finder;
use serde_json::Value;
use tempfile::TempDir;
use testkit::{Program, free_port, within};
use tokio::process::Command;

use crate::DOCKER;
use crate::secrets::Secrets;

/// The quota as it is given to them, and in bytes.
const MAX_FILE_STORE: &str = "7GB";
const MAX_FILE_STORE_BYTES: u64 = 7 << 30;

/// The three, as long as the value lives.
pub struct Brokers {
    /// What they and their clients were given.
    pub secrets: Secrets,
    /// Where clients connect.
    pub ports: [u16; 3],
    monitoring: [u16; 3],
    programs: Vec<Program>,
    _data: TempDir,
}

/// The brokers' configuration as a container has it: the shipped files, and the secrets beside them.
fn configured(
    folder: &Path,
    secrets: &Secrets,
    change: impl Fn(&str, String) -> String,
) -> PathBuf {
    let configuration = folder.join("configuration");
    std::fs::create_dir(&configuration).unwrap();
    for file in std::fs::read_dir(format!("{DOCKER}/nats")).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        let text = change(&name, std::fs::read_to_string(file.path()).unwrap());
        std::fs::write(configuration.join(name), text).unwrap();
    }
    for (secret, name) in [
        ("nats_users.conf", "users.conf"),
        ("nats_routes.conf", "routes.conf"),
    ] {
        std::fs::copy(secrets.path(secret), configuration.join(name)).unwrap();
    }
    configuration
}

impl Brokers {
    /// Starts them for a deployment whose Postgres is on this port.
    pub async fn start(postgres: u16) -> Self {
        Self::start_with(postgres, "nats.conf", &[], |_, text| text).await
    }

    /// Starts them from another entry file, with more environment and with changed files.
    pub async fn start_with(
        postgres: u16,
        entry: &str,
        environment: &[(&str, PathBuf)],
        change: impl Fn(&str, String) -> String,
    ) -> Self {
        let ports = || -> [u16; 3] { std::array::from_fn(|_| free_port()) };
        let (clients, routes, monitoring) = (ports(), ports(), ports());
        let secrets = Secrets::make(clients, routes, postgres);
        let data = tempfile::tempdir().unwrap();
        let configuration = configured(data.path(), &secrets, change);
        let binary = tokio::task::spawn_blocking(|| Finder::new().nats_server().unwrap().path)
            .await
            .unwrap();
        let start = |index: usize| {
            // The flags only say where; everything else is the file's.
            let listen = format!(
                "nats://route:{}@127.0.0.1:{}",
                secrets.route_password(),
                routes[index]
            );
            let mut command = Command::new(&binary);
            command
                .arg("--config")
                .arg(configuration.join(entry))
                .args(["--addr", "127.0.0.1"])
                .args(["--port", &clients[index].to_string()])
                .args(["--http_port", &monitoring[index].to_string()])
                .args(["--cluster", &listen])
                .env("NATS_SERVER_NAME", format!("nats-{}", index + 1))
                .env("NATS_STORE_DIR", data.path().join(format!("store-{index}")))
                .env("NATS_MAX_FILE_STORE", MAX_FILE_STORE)
                .envs(environment.iter().map(|(name, value)| (*name, value)));
            Program::start(&mut command)
        };
        let brokers = Self {
            programs: (0..3).map(start).collect(),
            ports: clients,
            monitoring,
            secrets,
            _data: data,
        };
        for port in monitoring {
            brokers.healthy(port).await;
        }
        brokers
    }

    /// What each of them says of itself.
    async fn figures(&self) -> Vec<Value> {
        let mut figures = Vec::new();
        for port in self.monitoring {
            let answer = reqwest::get(format!("http://127.0.0.1:{port}/varz")).await;
            figures.push(answer.unwrap().json().await.unwrap());
        }
        figures
    }

    async fn healthy(&self, monitoring: u16) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let look = async {
            within("all brokers are healthy", || async {
                let url = format!("http://127.0.0.1:{monitoring}/healthz");
                let answer = http.get(url).send().await.ok()?;
                answer.status().is_success().then_some(())
            })
            .await;
        };
        // A wrong configuration ends a server at once: show what it says, not only that it is not there.
        tokio::select! {
            () = look => {}
            said = self.ended() => panic!("a broker ended: {said}"),
        }
    }

    async fn ended(&self) -> String {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            let said = self.said();
            if said.contains("nats-server: ") {
                return said;
            }
        }
    }

    /// Everything that they have logged.
    pub fn said(&self) -> String {
        self.programs.iter().map(Program::said).collect()
    }

    /// What somebody was refused, as the brokers tell it.
    pub fn violations(&self) -> Vec<String> {
        let said = self.said();
        let refused = said.lines().filter(|line| line.contains("Violation"));
        refused.map(str::to_owned).collect()
    }

    /// Connects a user as the roles do: with his own inbox, given the role's name.
    pub async fn connect(&self, user: &str, role: &str) -> Client {
        self.options(user, role)
            .connect(self.addresses("nats"))
            .await
            .unwrap()
    }

    /// How a user connects.
    pub fn options(&self, user: &str, role: &str) -> ConnectOptions {
        ConnectOptions::with_user_and_password(user.to_owned(), self.secrets.broker_password(user))
            .custom_inbox_prefix(service_kit::nats::inbox_prefix(role))
    }

    /// All three, for a client.
    pub fn addresses(&self, scheme: &str) -> Vec<ServerAddr> {
        self.ports
            .iter()
            .map(|port| format!("{scheme}://localhost:{port}").parse().unwrap())
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brokers_keep_to_the_quota_that_they_are_given_and_fsync() {
    let brokers = Brokers::start(1).await;
    for figures in brokers.figures().await {
        let jetstream = &figures["jetstream"]["config"];
        assert_eq!(
            jetstream["max_storage"], MAX_FILE_STORE_BYTES,
            "{jetstream}"
        );
        assert_eq!(jetstream["sync_always"], true, "{jetstream}");
    }
}
