//! The whole shop as a deployment runs it: every role a process with its own credentials, given as compose gives them,
//! and not one refusal in the brokers' logs.

use dev_servers::Postgres;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Person, Program, free_port, within};
use tokio::process::Command;

use crate::brokers::Brokers;
use crate::database;

/// The program under test.
const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");
/// Roles, the user that each is on the brokers, and its login in the database.
const ROLES: [(&str, Option<&str>, Option<&str>); 4] = [
    ("command-api", Some("command-api"), Some("command")),
    ("projector", Some("projector"), Some("projector")),
    ("saga-orchestrator", Some("saga-orchestrator"), None),
    ("payment-sandbox", None, Some("sandbox")),
];
/// A program of somebody else that sends commands over the broker, as the README shows how to let one in.
const CALLER: &str = r#"{
    user: "caller", password: "a caller's own", permissions {
        publish { allow: ["cmd.*.*"] }
        subscribe { allow: ["_INBOX_caller.>"] }
    }
}"#;

/// Servers, and the roles on them.
struct Deployment {
    programs: Vec<Program>,
    ports: [u16; 4],
    brokers: Brokers,
    _postgres: Postgres,
}

impl Deployment {
    async fn start() -> Self {
        let postgres = tokio::task::spawn_blocking(|| Postgres::temporary().unwrap())
            .await
            .unwrap();
        let with_caller = |file: &str, text: String| match file {
            "accounts.conf" => text.replacen("users: [", &format!("users: [\n{CALLER}"), 1),
            _ => text,
        };
        let brokers = Brokers::start_with(postgres.port(), "nats.conf", &[], with_caller).await;
        database::make_logins(&postgres.url(), &brokers.secrets).await;
        let mut deployment = Self {
            programs: Vec::new(),
            ports: std::array::from_fn(|_| free_port()),
            brokers,
            _postgres: postgres,
        };
        deployment
            .says(&["migrate"], Some("deployer"), Some("migrate"))
            .await;
        for ((role, user, login), port) in ROLES.into_iter().zip(deployment.ports) {
            let mut command = deployment.command(&[role], user, login);
            command.env("WAYBILL_HTTP_ADDR", format!("127.0.0.1:{port}"));
            deployment.programs.push(Program::start(&mut command));
        }
        for port in deployment.ports {
            within(&format!("the role on port {port} is ready"), || async {
                let answer = reqwest::get(format!("http://127.0.0.1:{port}/readyz"))
                    .await
                    .ok()?;
                answer.status().is_success().then_some(())
            })
            .await;
        }
        deployment
    }

    /// The program as a container of compose runs it: what it needs is in files of its own.
    fn command(&self, arguments: &[&str], user: Option<&str>, login: Option<&str>) -> Command {
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

    fn url(&self, role: &str) -> String {
        let index = ROLES.iter().position(|(name, _, _)| *name == role).unwrap();
        format!("http://127.0.0.1:{}", self.ports[index])
    }

    /// What a command prints; it has to succeed.
    async fn says(&self, arguments: &[&str], user: Option<&str>, login: Option<&str>) -> String {
        let output = self.command(arguments, user, login).output().await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}{complained}");
        said
    }

    async fn operator(&self, arguments: &[&str]) -> String {
        self.says(arguments, Some("operator"), Some("operator"))
            .await
    }

    async fn person(&self, base: &str, role: &str, subject: Option<&str>) -> Person {
        let mut arguments = vec!["token", "--role", role];
        arguments.extend(subject.iter().flat_map(|subject| ["--subject", subject]));
        let token = self.says(&arguments, None, None).await;
        Person::new(&self.url(base), token.trim())
    }
}

/// Opens the shop: gives a partner, a product of his with stock, and a customer's id.
async fn opened(admin: &Person) -> (String, String, String) {
    let id = |made: Value| made["id"].as_str().unwrap().to_owned();
    let eur = |amount: i64| json!({"amount": amount, "currency": "EUR"});
    let partner = json!({
        "title": "P", "brand": "P", "phone": "+49 30 1", "email": "p@example.com", "address": "Berlin",
    });
    let partner = id(admin.post("/v1/partners", &partner).await.ok());
    for step in ["verify", "enable"] {
        let path = format!("/v1/partners/{partner}/{step}");
        admin.post(&path, &json!({})).await.ok();
    }
    let product = json!({"sku": "S-1", "name": "Thing", "brand": "P", "category": "things", "unit_cost": eur(400)});
    let product = id(admin.post("/v1/products", &product).await.ok());
    let offer = admin
        .request(
            Method::PUT,
            &format!("/v1/partners/{partner}/offers/{product}"),
        )
        .json(&json!({"price": eur(1000), "active": true}));
    testkit::answer(offer).await.ok();
    let path = format!("/v1/inventory/{product}/receive");
    admin.post(&path, &json!({"quantity": 10})).await.ok();
    let customer = json!({"name": "Ada", "email": "ada@example.com"});
    let customer = id(admin.post("/v1/customers", &customer).await.ok());
    (partner, product, customer)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_does_its_work_with_its_own_credentials() {
    let mut deployment = Deployment::start().await;
    let admin = deployment.person("command-api", "admin", None).await;
    let (partner, product, customer) = opened(&admin).await;
    let buyer = deployment
        .person("command-api", "customer", Some(&customer))
        .await;
    let reader = deployment
        .person("projector", "customer", Some(&customer))
        .await;

    // An order that goes well, one that is put back, one whose payment is looked up, one that is cancelled.
    let paid = buyer.order(&partner, &product, 2, "pm_card_visa").await;
    let declined = "pm_card_visa_chargeDeclined";
    let declined = buyer.order(&partner, &product, 1, declined).await;
    let slow = buyer.order(&partner, &product, 1, "pm_waybill_slow").await;
    reader.order_becomes(&paid, "confirmed").await;
    reader.order_becomes(&declined, "cancelled").await;
    reader.order_becomes(&slow, "confirmed").await;
    let history = reader.get(&format!("/v1/orders/{paid}/history")).await.ok();
    assert!(
        history["data"]
            .as_array()
            .is_some_and(|events| !events.is_empty())
    );

    // An operator sees all of it, and works by the desks.
    assert!(
        deployment
            .operator(&["topology", "verify"])
            .await
            .contains("as wanted")
    );
    assert!(
        deployment
            .operator(&["projections", "ls"])
            .await
            .contains("orders")
    );
    deployment
        .operator(&["projections", "rebuild", "orders"])
        .await;
    deployment
        .operator(&["projections", "verify", "orders"])
        .await;
    let tail = deployment
        .operator(&["events", "tail", "--no-follow"])
        .await;
    assert!(tail.contains("fulfilment.completed"), "{tail}");
    let operator = deployment.brokers.connect("operator", "operator").await;
    let ask = async |subject: &'static str, body: &str| {
        let answer = operator
            .request(subject, body.to_owned().into())
            .await
            .unwrap();
        String::from_utf8(answer.payload.to_vec()).unwrap()
    };
    assert!(ask("saga.list", "").await.contains(&paid));
    let shown = ask("saga.show", &paid).await;
    assert!(shown.contains("COMPLETED"), "{shown}");
    assert!(ask("projections.ls", "").await.contains("orders"));
    let rebuilt = ask("projections.rebuild", r#"{"name": "orders", "wait": true}"#).await;
    assert!(rebuilt.contains("rebuilt"), "{rebuilt}");

    // What is the projector's business is passed on to it by the command-api.
    let verified = admin
        .post("/v1/projections/orders/verify", &json!({}))
        .await;
    assert_eq!(verified.ok()["same"], true);

    // The log can be carried away by who moves house, and by nobody who works here.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    let export = ["events", "export", "--out", file.to_str().unwrap()];
    deployment.says(&export, Some("mover"), None).await;
    assert!(file.metadata().unwrap().len() > 0);

    // Somebody else's program sends commands over the broker, and hears the answer.
    let caller = async_nats::ConnectOptions::with_user_and_password(
        "caller".into(),
        "a caller's own".into(),
    )
    .custom_inbox_prefix(service_kit::nats::inbox_prefix("caller"))
    .connect(deployment.brokers.addresses("nats"))
    .await
    .unwrap();
    let answer = caller
        .request("cmd.orders.cancel", "{}".into())
        .await
        .unwrap();
    let problem: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(problem["status"], 422, "{problem}");

    // Giving shares and signs of life back is work as well.
    for program in &mut deployment.programs {
        program.signal("TERM").await;
        let status = program.ended().await;
        assert!(status.success(), "{status}: {}", program.said());
    }
    assert_eq!(deployment.brokers.violations(), Vec::<String>::new());
}
