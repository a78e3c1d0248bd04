//! The shop as people deploy it: each role as processes of its own, several of a kind, on servers of somebody else.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::person::Person;
use crate::program::{Program, free_port, within_time};

/// Several debug builds start at once, on a machine that has other things to do.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// So much of what a replica has said is shown when a test fails.
const SHOWN_LINES: usize = 40;

/// A kind of process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes commands.
    CommandApi,
    /// Answers questions.
    Projector,
    /// Works sagas.
    SagaOrchestrator,
    /// Tells people what happened; only in a layout that asks for it.
    Notifier,
    /// Stands in for the payment provider, which is outside: there is one.
    PaymentSandbox,
}

impl Role {
    const ALL: [Self; 5] = [
        Self::CommandApi,
        Self::Projector,
        Self::SagaOrchestrator,
        Self::Notifier,
        Self::PaymentSandbox,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::CommandApi => "command-api",
            Self::Projector => "projector",
            Self::SagaOrchestrator => "saga-orchestrator",
            Self::Notifier => "notifier",
            Self::PaymentSandbox => "payment-sandbox",
        }
    }
}

/// Where the servers are that a deployment uses.
#[derive(Debug, Clone)]
pub struct Servers {
    /// NATS, several servers separated by commas.
    pub nats: String,
    /// The shop's Postgres.
    pub database: String,
    /// The provider's own; its outages are not ours.
    pub sandbox_database: String,
}

/// How much of everything there is.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Processes of each of our own roles.
    pub replicas: usize,
    /// Processes that tell people what happened.
    pub notifiers: usize,
    /// Replicas of streams and buckets.
    pub stream_replicas: usize,
    /// Further settings of all processes.
    pub settings: Vec<(&'static str, String)>,
}

impl Layout {
    /// One process of each role on one broker.
    pub fn single() -> Self {
        Self {
            replicas: 1,
            notifiers: 0,
            stream_replicas: 1,
            settings: Vec::new(),
        }
    }

    /// Two processes of each role on one broker.
    pub fn twice() -> Self {
        Self {
            replicas: 2,
            ..Self::single()
        }
    }

    /// With so many processes that tell people what happened.
    #[must_use]
    pub fn with_notifiers(self, notifiers: usize) -> Self {
        Self { notifiers, ..self }
    }

    /// On a cluster of three brokers, everything stored three times.
    #[must_use]
    pub fn on_three_brokers(self) -> Self {
        Self {
            stream_replicas: 3,
            ..self
        }
    }

    /// With one more setting.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.settings.push((name, value.to_owned()));
        self
    }
}

struct Replica {
    role: Role,
    number: usize,
    port: u16,
    program: Option<Program>,
    /// Ended, and what they had said: for the report of a test that fails.
    former: String,
}

impl Replica {
    fn name(&self) -> String {
        instance(self.role, self.number)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

fn instance(role: Role, number: usize) -> String {
    format!("{}-{number}", role.name())
}

/// All processes of a shop.
pub struct Deployment {
    binary: String,
    servers: Servers,
    layout: Layout,
    data: TempDir,
    sandbox_port: u16,
    replicas: Vec<Replica>,
}

impl Deployment {
    /// Migrates both servers, starts every process and waits until all are ready.
    pub async fn start(binary: &str, servers: Servers, layout: Layout) -> Self {
        let mut deployment = Self::prepare(binary, servers, layout);
        deployment.operator(&["migrate"]).await;
        deployment.launch_all();
        deployment.ready().await;
        deployment
    }

    /// A deployment of which nothing runs yet, on servers that nobody has prepared.
    pub fn prepare(binary: &str, servers: Servers, layout: Layout) -> Self {
        let replicas = Role::ALL.iter().flat_map(|role| {
            let many = match role {
                Role::PaymentSandbox => 1,
                Role::Notifier => layout.notifiers,
                Role::CommandApi | Role::Projector | Role::SagaOrchestrator => layout.replicas,
            };
            (0..many).map(|number| Replica {
                role: *role,
                number,
                port: free_port(),
                program: None,
                former: String::new(),
            })
        });
        let replicas: Vec<Replica> = replicas.collect();
        let sandbox = replicas.last().expect("there is a sandbox").port;
        Self {
            binary: binary.to_owned(),
            servers,
            layout,
            data: tempfile::tempdir().unwrap(),
            sandbox_port: sandbox,
            replicas,
        }
    }

    /// Starts every process that does not run.
    pub fn launch_all(&mut self) {
        for index in 0..self.replicas.len() {
            if self.replicas[index].program.is_none() {
                self.launch(index);
            }
        }
    }

    /// kill -9 of every process of the shop's own roles.
    pub async fn kill9_all(&mut self) {
        for role in [Role::CommandApi, Role::Projector, Role::SagaOrchestrator] {
            for number in 0..self.layout.replicas {
                self.kill9(role, number).await;
            }
        }
    }

    /// The program with the settings that all processes share, and other arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let (commands, sandbox) = (self.url(Role::CommandApi, 0), self.sandbox_url());
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env("WAYBILL_NATS_URL", &self.servers.nats)
            .env("WAYBILL_DATABASE_URL", &self.servers.database)
            .env("WAYBILL_DATA_DIR", self.data.path())
            .env(
                "WAYBILL_STREAM_REPLICAS",
                self.layout.stream_replicas.to_string(),
            )
            .env(
                "WAYBILL_SANDBOX_ADDR",
                format!("127.0.0.1:{}", self.sandbox_port),
            )
            .env(
                "WAYBILL_SANDBOX_WEBHOOK_URL",
                format!("{commands}/v1/webhooks/payments/stripe"),
            )
            .env("WAYBILL_PAYMENT_URL", sandbox)
            .env("WAYBILL_PAYMENT_KEY", "sk_test_1234")
            .env("WAYBILL_PAYMENT_WEBHOOK_SECRET", "whsec_1234")
            .env("WAYBILL_LOG", "warn")
            .envs(
                self.layout
                    .settings
                    .iter()
                    .map(|(name, value)| (name, value)),
            );
        command
    }

    /// What the operator's command prints; it has to succeed.
    pub async fn operator(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{arguments:?}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        said
    }

    /// Waits until every process says that it is ready.
    pub async fn ready(&self) {
        for replica in &self.replicas {
            let what = format!("{} is ready", replica.name());
            let url = format!("{}/readyz", replica.url());
            within_time(READY_LIMIT, &what, || async {
                let answer = reqwest::get(&url).await.ok()?;
                answer.status().is_success().then_some(())
            })
            .await;
        }
    }

    /// A token for somebody.
    pub async fn token(&self, role: &str, subject: Option<&str>) -> String {
        let mut arguments = vec!["token", "--role", role];
        arguments.extend(subject.iter().flat_map(|subject| ["--subject", subject]));
        self.operator(&arguments).await.trim().to_owned()
    }

    /// Somebody who uses all replicas in turn.
    pub async fn person(&self, role: &str, subject: Option<&str>) -> Person {
        let urls = |role: Role| -> Vec<String> {
            let replicas = self.replicas.iter().filter(|replica| replica.role == role);
            replicas.map(Replica::url).collect()
        };
        let token = self.token(role, subject).await;
        Person::at(&urls(Role::CommandApi), &urls(Role::Projector), &token)
    }

    /// Where a replica is.
    pub fn url(&self, role: Role, number: usize) -> String {
        self.replica(role, number).url()
    }

    /// The provider's address.
    pub fn sandbox_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.sandbox_port)
    }

    /// What the provider has on its books for an order.
    pub async fn ledger(&self, order: &str) -> Value {
        self.sandbox(&format!("/sandbox/ledger?order_id={order}"))
            .await
    }

    /// The provider's sums over all orders.
    pub async fn ledger_totals(&self) -> Value {
        self.sandbox("/sandbox/ledger/totals").await
    }

    async fn sandbox(&self, path: &str) -> Value {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}{path}", self.sandbox_url());
        client.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// The replica of a role that has this name in ownership and logs.
    pub fn number(&self, role: Role, instance_name: &str) -> usize {
        (0..self.layout.replicas)
            .find(|number| instance(role, *number) == instance_name)
            .unwrap_or_else(|| panic!("no {role:?} is called {instance_name:?}"))
    }

    /// kill -9 of a replica.
    pub async fn kill9(&mut self, role: Role, number: usize) {
        let replica = self.replica_mut(role, number);
        let program = replica.program.take().expect("it does not run");
        replica.former.push_str(&program.said());
        program.kill9().await;
    }

    /// Starts a replica that was killed.
    pub fn again(&mut self, role: Role, number: usize) {
        let index = self.index(role, number);
        self.launch(index);
    }

    /// Freezes a replica: its connections stay open and nothing answers.
    pub async fn freeze(&self, role: Role, number: usize) {
        self.program(role, number).signal("STOP").await;
    }

    /// Wakes a frozen replica.
    pub async fn wake(&self, role: Role, number: usize) {
        self.program(role, number).signal("CONT").await;
    }

    /// Processes that have ended by themselves, which none may.
    pub fn fallen(&mut self) -> Vec<String> {
        let started = self.replicas.iter_mut().filter_map(|replica| {
            let runs = replica.program.as_mut()?.runs();
            (!runs).then(|| replica.name())
        });
        started.collect()
    }

    /// Everything that a replica has said.
    pub fn said(&self, role: Role, number: usize) -> String {
        let replica = self.replica(role, number);
        let now = replica.program.as_ref().map(Program::said);
        format!("{}{}", replica.former, now.unwrap_or_default())
    }

    fn launch(&mut self, index: usize) {
        let replica = &self.replicas[index];
        let mut command = self.command(&[replica.role.name()]);
        command
            .env("WAYBILL_INSTANCE", replica.name())
            .env("WAYBILL_HTTP_ADDR", format!("127.0.0.1:{}", replica.port));
        if replica.role == Role::PaymentSandbox {
            command.env("WAYBILL_DATABASE_URL", &self.servers.sandbox_database);
        }
        self.replicas[index].program = Some(Program::start(&mut command));
    }

    fn index(&self, role: Role, number: usize) -> usize {
        let wanted = |replica: &Replica| replica.role == role && replica.number == number;
        self.replicas
            .iter()
            .position(wanted)
            .unwrap_or_else(|| panic!("there is no {}", instance(role, number)))
    }

    fn replica(&self, role: Role, number: usize) -> &Replica {
        &self.replicas[self.index(role, number)]
    }

    fn replica_mut(&mut self, role: Role, number: usize) -> &mut Replica {
        let index = self.index(role, number);
        &mut self.replicas[index]
    }

    fn program(&self, role: Role, number: usize) -> &Program {
        let program = &self.replica(role, number).program;
        program.as_ref().expect("it does not run")
    }
}

impl Drop for Deployment {
    /// A test that fails shows what its processes had to say.
    #[expect(clippy::print_stderr, reason = "the report of a failed test")]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for replica in &self.replicas {
            let said = self.said(replica.role, replica.number);
            let lines: Vec<&str> = said.lines().collect();
            let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
            if !shown.is_empty() {
                eprintln!("--- {} said at last:\n{}", replica.name(), shown.join("\n"));
            }
        }
    }
}
