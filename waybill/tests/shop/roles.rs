//! The same shop as five processes on servers of somebody else, and what callers hear while a server is away.

use std::time::Duration;

use dev_servers::{NatsServer, Postgres};
use reqwest::Method;
use serde_json::json;
use testkit::{Person, Program, free_port, within};
use tokio::process::Command;

use crate::WAYBILL;

/// Roles as processes, and an edge that sends GETs to one and the rest to the other.
struct Deployment {
    nats: NatsServer,
    postgres: Postgres,
    data: tempfile::TempDir,
    ports: [u16; 4],
    programs: Vec<Program>,
}

const ROLES: [&str; 4] = [
    "command-api",
    "projector",
    "saga-orchestrator",
    "payment-sandbox",
];

impl Deployment {
    async fn start() -> Self {
        let mut deployment = Self {
            nats: tokio::task::spawn_blocking(NatsServer::temporary)
                .await
                .unwrap()
                .unwrap(),
            postgres: tokio::task::spawn_blocking(Postgres::temporary)
                .await
                .unwrap()
                .unwrap(),
            data: tempfile::tempdir().unwrap(),
            ports: std::array::from_fn(|_| free_port()),
            programs: Vec::new(),
        };
        let migrated = deployment.command(&["migrate"], 0).output().await.unwrap();
        assert!(
            migrated.status.success(),
            "{}",
            String::from_utf8_lossy(&migrated.stderr)
        );
        for (role, port) in ROLES.iter().zip(deployment.ports) {
            deployment
                .programs
                .push(Program::start(&mut deployment.command(&[role], port)));
        }
        for port in deployment.ports {
            deployment.ready(port).await;
        }
        deployment
    }

    fn command(&self, arguments: &[&str], port: u16) -> Command {
        let sandbox = self.ports[3];
        let mut command = Command::new(WAYBILL);
        command
            .args(arguments)
            .env("WAYBILL_NATS_URL", self.nats.url())
            .env("WAYBILL_DATABASE_URL", self.postgres.url())
            .env("WAYBILL_DATA_DIR", self.data.path())
            .env("WAYBILL_HTTP_ADDR", format!("127.0.0.1:{port}"))
            .env("WAYBILL_SANDBOX_ADDR", format!("127.0.0.1:{sandbox}"))
            .env(
                "WAYBILL_SANDBOX_WEBHOOK_URL",
                format!("{}/v1/webhooks/payments/stripe", self.commands_url()),
            )
            .env("WAYBILL_PAYMENT_URL", format!("http://127.0.0.1:{sandbox}"))
            .env("WAYBILL_PAYMENT_KEY", "sk_test_1234")
            .env("WAYBILL_PAYMENT_WEBHOOK_SECRET", "whsec_1234")
            .env("WAYBILL_LOG", "warn");
        command
    }

    async fn ready(&self, port: u16) {
        within(&format!("the role on port {port} is ready"), || async {
            let answer = reqwest::get(format!("http://127.0.0.1:{port}/readyz"))
                .await
                .ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    fn commands_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    fn queries_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[1])
    }

    async fn token(&self, role: &str, subject: Option<&str>) -> String {
        let mut arguments = vec!["token", "--role", role];
        arguments.extend(subject.iter().flat_map(|subject| ["--subject", subject]));
        let output = self.command(&arguments, 0).output().await.unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// A product with stock; gives partner, product and a customer's token.
async fn stocked(deployment: &Deployment, units: u32) -> (String, String, String) {
    let admin = Person::new(
        &deployment.commands_url(),
        &deployment.token("admin", None).await,
    );
    let text = |json: &serde_json::Value| json.as_str().unwrap().to_owned();
    let partner = json!({
        "title": "P", "brand": "P", "phone": "+49 30 1", "email": "p@example.com", "address": "Berlin",
    });
    let partner = text(&admin.post("/v1/partners", &partner).await.ok()["id"]);
    admin
        .post(&format!("/v1/partners/{partner}/verify"), &json!({}))
        .await
        .ok();
    admin
        .post(&format!("/v1/partners/{partner}/enable"), &json!({}))
        .await
        .ok();
    let eur = |amount: i64| json!({"amount": amount, "currency": "EUR"});
    let product = json!({"sku": "S-1", "name": "Thing", "brand": "P", "category": "things", "unit_cost": eur(400)});
    let product = text(&admin.post("/v1/products", &product).await.ok()["id"]);
    let offer = admin.request(
        Method::PUT,
        &format!("/v1/partners/{partner}/offers/{product}"),
    );
    let offer = offer
        .json(&json!({"price": eur(1000), "active": true}))
        .send()
        .await
        .unwrap();
    assert!(offer.status().is_success());
    admin
        .post(
            &format!("/v1/inventory/{product}/receive"),
            &json!({"quantity": units}),
        )
        .await
        .ok();
    let customer = json!({"name": "Ada", "email": "ada@example.com"});
    let customer = text(&admin.post("/v1/customers", &customer).await.ok()["id"]);
    (
        partner,
        product,
        deployment.token("customer", Some(&customer)).await,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn five_processes_on_foreign_servers_are_the_same_shop() {
    let deployment = Deployment::start().await;
    let (partner, product, token) = stocked(&deployment, 5).await;
    let buyer = Person::new(&deployment.commands_url(), &token);
    let reader = Person::new(&deployment.queries_url(), &token);
    let order = buyer.order(&partner, &product, 2, "pm_card_visa").await;
    let order = reader.order_becomes(&order, "confirmed").await;
    assert_eq!(order["payment"]["status"], "captured");
    // A GET is the projector's business, everything else the command-api's.
    assert_eq!(buyer.get("/v1/orders").await.status.as_u16(), 405);
    assert_eq!(
        reader.post("/v1/orders", &json!({})).await.status.as_u16(),
        405
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_server_is_away_callers_hear_503_and_nothing_is_lost() {
    let deployment = Deployment::start().await;
    let (partner, product, token) = stocked(&deployment, 5).await;
    let buyer = Person::new(&deployment.commands_url(), &token);
    let reader = Person::new(&deployment.queries_url(), &token);

    deployment.postgres.kill9();
    let asked = reader.get("/v1/orders").await;
    assert!(asked.retry_after.is_some(), "{asked:?}");
    asked.refused(503, "database_unavailable");
    deployment.postgres.restart().unwrap();
    within("queries are answered again", || async {
        reader
            .get("/v1/orders")
            .await
            .status
            .is_success()
            .then_some(())
    })
    .await;

    let lines = json!([{"product_id": product, "quantity": 1}]);
    let quote = buyer.check(&partner, &lines).await.ok();
    let body = json!({"quote_id": quote["quote_id"], "payment": {"method": "card", "token": "pm_card_visa"}});
    let place = |key: &str| {
        buyer
            .request(Method::POST, "/v1/orders")
            .header("Idempotency-Key", key)
            .timeout(Duration::from_secs(60))
            .json(&body)
    };
    deployment.nats.kill9();
    let refused = testkit::answer(place("the-one-order")).await;
    assert!(refused.retry_after.is_some(), "{refused:?}");
    refused.refused(503, "broker_unavailable");
    deployment.nats.restart().unwrap();
    let order = within("the same command goes through", || async {
        let again = testkit::answer(place("the-one-order")).await;
        again.status.is_success().then_some(again.body)
    })
    .await;
    let order = order["order_id"].as_str().unwrap();
    reader.order_becomes(order, "confirmed").await;
    let orders = reader.get("/v1/orders").await.ok();
    assert_eq!(
        orders["data"].as_array().map(Vec::len),
        Some(1),
        "one order, whatever was repeated"
    );
}
