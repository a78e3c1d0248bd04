//! The service on a real broker and a real database, used over HTTP.

use std::sync::Arc;
use std::time::Duration;

use dev_servers::NatsServer;
use event_store::{JetStreamStore, topology};
use reqwest::Method;
use serde_json::json;
use service_kit::http::{HttpLimits, Readiness, ServerBuilder, serve};
use service_kit::signing::{SigningKey, Tokens};
use service_kit::{Clock, Role, Shutdown, Vault, postgres, vault};
use testkit::{Person, answer, within};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::service::{Deps, Service};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread")]
async fn a_service_beside_the_shop_has_commands_events_and_a_read_model_of_its_own() {
    let broker = tokio::task::spawn_blocking(NatsServer::temporary)
        .await
        .unwrap()
        .unwrap();
    let client = async_nats::connect(broker.url()).await.unwrap();
    topology::migrate(&client, 1).await.unwrap();
    let url = dev_servers::fresh_database().await.unwrap();
    let pool = postgres::connect(&url.into(), "gift-cards", 10)
        .await
        .unwrap();
    postgres::migrate(&pool, &vault::migrator()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::load_or_create(&folder.path().join("signing.key")).unwrap();
    let tokens = Arc::new(Tokens::new(&key, Clock::system()));
    let deps = Deps {
        instance: "gift-cards-1".into(),
        store: Arc::new(JetStreamStore::connect(client).await.unwrap()),
        vault: Vault::new(pool.clone(), &key.installation_key().unwrap()).unwrap(),
        pool,
    };
    let service = Service::new(deps).await.unwrap();
    let server = ServerBuilder::new(HttpLimits::default()).tokens(Arc::clone(&tokens));
    let router = server.api(service.api()).build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    let served =
        tokio::spawn(async move { serve(listener, router, Readiness::new(), &stop).await });
    let running = tokio::spawn(service.run(shutdown.clone()));
    let person = |role| {
        let token = tokens.issue(role, Uuid::now_v7(), HOUR).unwrap();
        Person::new(&base, &token)
    };
    let (admin, customer) = (person(Role::Admin), person(Role::Customer));

    // The rules of the routes hold without a word in the handlers.
    let fifty = json!({"cents": 5000});
    let forbidden = customer.post("/v1/gift-cards", &fifty).await;
    forbidden.refused(403, "forbidden");

    let card = admin.post("/v1/gift-cards", &fifty).await;
    let card = card.ok()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/gift-cards/{card}");
    let redeem = format!("{path}/redeem");
    let spend = |key: &'static str, cents: u32| {
        let request = customer.request(Method::POST, &redeem);
        answer(
            request
                .header("Idempotency-Key", key)
                .json(&json!({"cents": cents})),
        )
    };
    assert_eq!(spend("first", 2000).await.ok()["left"], 3000);
    assert_eq!(
        spend("first", 2000).await.ok()["left"],
        3000,
        "it counts once"
    );
    spend("second", 3001).await.refused(409, "not_enough_left");
    let nothing = format!("/v1/gift-cards/{}/redeem", Uuid::now_v7());
    let nobodys = customer.post(&nothing, &json!({"cents": 1})).await;
    nobodys.refused(404, "not_found");

    within("the read model shows what is left", || async {
        let shown = customer.get(&path).await;
        (shown.body["left"] == 3000).then_some(())
    })
    .await;

    // Layers and rules have filled in what the routes do not say themselves.
    let document = customer.get("/openapi.json").await.ok();
    let answers = &document["paths"]["/v1/gift-cards/{id}/redeem"]["post"]["responses"];
    for status in ["401", "403", "404", "429", "500", "503"] {
        assert!(answers[status].is_object(), "{status}");
    }

    shutdown.begin();
    served.await.unwrap();
    running.await.unwrap();
}
