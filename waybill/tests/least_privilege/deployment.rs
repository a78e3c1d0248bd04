//! A deployment by the shipped files: brokers, Postgres, and each role a process that is given what compose gives it.

use dev_servers::Postgres;
use testkit::{Person, Program, free_port, within};
use tokio::process::Command;

use crate::brokers::Brokers;
use crate::database;

/// The program under test.
const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");
/// Roles, the user that each is on the brokers, and its login in the database.
const ROLES: [(&str, Option<&str>, Option<&str>); 5] = [
    ("command-api", Some("command-api"), Some("command")),
    ("projector", Some("projector"), Some("projector")),
    ("saga-orchestrator", Some("saga-orchestrator"), None),
    ("payment-sandbox", None, Some("sandbox")),
    ("notifier", Some("notifier"), Some("notifier")),
];
/// A program of somebody else that sends commands over the broker, as the README shows how to let one in.
const CALLER: &str = r#"{
    user: "caller", password: "a caller's own", permissions {
        publish { allow: ["cmd.*.*"] }
        subscribe { allow: ["_INBOX_caller.>"] }
    }
}"#;

/// Servers, and the roles on them.
pub struct Deployment {
    pub programs: Vec<Program>,
    pub brokers: Brokers,
    ports: [u16; 5],
    _postgres: Postgres,
}

impl Deployment {
    /// Everything works.
    pub async fn start() -> Self {
        let mut deployment = Self::prepare().await;
        deployment.migrate().await;
        deployment.launch().await;
        deployment
    }

    /// The servers, of which nothing is made use yet.
    pub async fn prepare() -> Self {
        let postgres = tokio::task::spawn_blocking(|| Postgres::temporary().unwrap())
            .await
            .unwrap();
        let with_caller = |file: &str, text: String| match file {
            "accounts.conf" => text.replacen("users: [", &format!("users: [\n{CALLER}"), 1),
            _ => text,
        };
        let brokers = Brokers::start_with(postgres.port(), "nats.conf", &[], with_caller).await;
        database::make_logins(&postgres.url(), &brokers.secrets).await;
        Self {
            programs: Vec::new(),
            ports: std::array::from_fn(|_| free_port()),
            brokers,
            _postgres: postgres,
        }
    }

    /// Streams, buckets, consumers and schemas are there.
    pub async fn migrate(&self) {
        self.says(&["migrate"], Some("deployer"), Some("migrate"))
            .await;
    }

    /// Starts every role and waits until it can work.
    pub async fn launch(&mut self) {
        for ((role, user, login), port) in ROLES.into_iter().zip(self.ports) {
            let mut command = self.command(&[role], user, login);
            command.env("WAYBILL_HTTP_ADDR", format!("127.0.0.1:{port}"));
            self.programs.push(Program::start(&mut command));
        }
        for port in self.ports {
            within(&format!("the role on port {port} is ready"), || async {
                let answer = reqwest::get(format!("http://127.0.0.1:{port}/readyz"))
                    .await
                    .ok()?;
                answer.status().is_success().then_some(())
            })
            .await;
        }
    }

    /// The program as a container of compose runs it: what it needs is in files of its own.
    pub fn command(&self, arguments: &[&str], user: Option<&str>, login: Option<&str>) -> Command {
        let secrets = &self.brokers.secrets;
        let mut command = Command::new(WAYBILL);
        command
            .args(arguments)
            .env("WAYBILL_SIGNING_KEY_FILE", secrets.path("signing_key"))
            .env("WAYBILL_STREAM_REPLICAS", "3")
            .env("WAYBILL_PAYMENT_URL", self.url("payment-sandbox"))
            .env("WAYBILL_PAYMENT_KEY_FILE", secrets.path("payment_key"))
            .env(
                "WAYBILL_PAYMENT_WEBHOOK_SECRET_FILE",
                secrets.path("payment_webhook_secret"),
            )
            .env(
                "WAYBILL_SANDBOX_ADDR",
                format!("127.0.0.1:{}", self.ports[3]),
            )
            .env(
                "WAYBILL_SANDBOX_WEBHOOK_URL",
                format!("{}/v1/webhooks/payments/stripe", self.url("command-api")),
            )
            .env("WAYBILL_LOG", "warn");
        if let Some(user) = user {
            command.env(
                "WAYBILL_NATS_URL_FILE",
                secrets.path(&format!("nats_{user}_url")),
            );
        }
        if let Some(login) = login {
            command.env(
                "WAYBILL_DATABASE_URL_FILE",
                secrets.path(&format!("database_{login}_url")),
            );
        }
        command
    }

    pub fn url(&self, role: &str) -> String {
        let index = ROLES.iter().position(|(name, _, _)| *name == role).unwrap();
        format!("http://127.0.0.1:{}", self.ports[index])
    }

    /// What a command prints; it has to succeed.
    pub async fn says(
        &self,
        arguments: &[&str],
        user: Option<&str>,
        login: Option<&str>,
    ) -> String {
        let output = self.command(arguments, user, login).output().await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}{complained}");
        said
    }

    pub async fn operator(&self, arguments: &[&str]) -> String {
        self.says(arguments, Some("operator"), Some("operator"))
            .await
    }

    pub async fn person(&self, base: &str, role: &str, subject: Option<&str>) -> Person {
        let mut arguments = vec!["token", "--role", role];
        arguments.extend(subject.iter().flat_map(|subject| ["--subject", subject]));
        let token = self.says(&arguments, None, None).await;
        Person::new(&self.url(base), token.trim())
    }
}
