//! The same shop as processes of their own on servers of somebody else, and what callers hear while a server is away.

use std::time::Duration;

use dev_servers::{NatsServer, Postgres};
use reqwest::Method;
use serde_json::json;
use testkit::{Deployment, Layout, Market, Person, Role, Servers, within};
use tokio::task::spawn_blocking;

use crate::WAYBILL;

/// One process of each role; they end before their servers.
struct Foreign {
    deployment: Deployment,
    nats: NatsServer,
    postgres: Postgres,
}

impl Foreign {
    async fn start() -> Self {
        let nats = spawn_blocking(|| NatsServer::temporary().unwrap());
        let postgres = spawn_blocking(|| Postgres::temporary().unwrap());
        let (nats, postgres) = (nats.await.unwrap(), postgres.await.unwrap());
        let servers = Servers {
            nats: nats.url(),
            database: postgres.url(),
            sandbox_database: postgres.fresh_database().await.unwrap(),
        };
        Self {
            deployment: Deployment::start(WAYBILL, servers, Layout::single()).await,
            nats,
            postgres,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_processes_on_foreign_servers_are_the_same_shop() {
    let shop = Foreign::start().await;
    let market = Market::open(&shop.deployment).await;
    let product = market.product(1000, 5).await.id;
    let buyer = market.customer(&shop.deployment).await;
    let order = buyer
        .order(&market.partner, &product, 2, "pm_card_visa")
        .await;
    let order = buyer.order_becomes(&order, "confirmed").await;
    assert_eq!(order["payment"]["status"], "captured");
    // A GET is the projector's business, everything else the command-api's.
    let token = shop.deployment.token("admin", None).await;
    let at = |role: Role| Person::new(&shop.deployment.url(role, 0), &token);
    let asked = at(Role::CommandApi).get("/v1/orders").await;
    assert_eq!(asked.status.as_u16(), 405);
    let told = at(Role::Projector).post("/v1/orders", &json!({})).await;
    assert_eq!(told.status.as_u16(), 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_server_is_away_callers_hear_503_and_nothing_is_lost() {
    let shop = Foreign::start().await;
    let market = Market::open(&shop.deployment).await;
    let product = market.product(1000, 5).await.id;
    let buyer = market.customer(&shop.deployment).await;

    shop.postgres.kill9();
    let asked = buyer.get("/v1/orders").await;
    assert!(asked.retry_after.is_some(), "{asked:?}");
    asked.refused(503, "database_unavailable");
    shop.postgres.restart().unwrap();
    within("queries are answered again", || async {
        buyer
            .get("/v1/orders")
            .await
            .status
            .is_success()
            .then_some(())
    })
    .await;

    let lines = json!([{"product_id": product, "quantity": 1}]);
    let quote = buyer.check(&market.partner, &lines).await.ok();
    let body = json!({"quote_id": quote["quote_id"], "payment": {"method": "card", "token": "pm_card_visa"}});
    let place = |key: &str| {
        buyer
            .request(Method::POST, "/v1/orders")
            .header("Idempotency-Key", key)
            .timeout(Duration::from_secs(60))
            .json(&body)
    };
    shop.nats.kill9();
    let refused = testkit::answer(place("the-one-order")).await;
    assert!(refused.retry_after.is_some(), "{refused:?}");
    refused.refused(503, "broker_unavailable");
    shop.nats.restart().unwrap();
    let order = within("the same command goes through", || async {
        let again = testkit::answer(place("the-one-order")).await;
        again.status.is_success().then_some(again.body)
    })
    .await;
    let order = order["order_id"].as_str().unwrap();
    buyer.order_becomes(order, "confirmed").await;
    let orders = buyer.get("/v1/orders").await.ok();
    assert_eq!(
        orders["data"].as_array().map(Vec::len),
        Some(1),
        "one order, whatever was repeated"
    );
}
