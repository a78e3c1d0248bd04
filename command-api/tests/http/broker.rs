//! The same commands over the broker: one id and one answer at every door.

use std::sync::Arc;
use std::time::Duration;

use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE};
use async_nats::{Client, HeaderMap, Message};
use dev_servers::NatsServer;
use event_store::InMemoryStore;
use http::Method;
use serde_json::{Value, json};
use service_kit::{Role, Shutdown};
use uuid::Uuid;

use crate::shop::{Shop, basket, by_card, product};

const READY_LIMIT: Duration = Duration::from_secs(10);
const POLL_PERIOD: Duration = Duration::from_millis(50);

async fn ask(client: &Client, subject: &str, headers: &[(&str, &str)], body: &Value) -> Message {
    let mut all = HeaderMap::new();
    for (name, value) in headers {
        all.insert(*name, *value);
    }
    client
        .request_with_headers(subject.to_owned(), all, body.to_string().into())
        .await
        .unwrap()
}

fn header<'a>(message: &'a Message, name: &str) -> &'a str {
    message
        .headers
        .as_ref()
        .and_then(|headers| headers.get(name))
        .map_or("", |value| value.as_str())
}

fn body(message: &Message) -> Value {
    serde_json::from_slice(&message.payload).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_over_the_broker_is_the_command_over_http() {
    let server = tokio::task::spawn_blocking(|| NatsServer::temporary().unwrap())
        .await
        .unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    event_store::topology::migrate(&client, 1).await.unwrap();
    let database = dev_servers::fresh_database().await.unwrap();
    let shop = Shop::over(Arc::new(InMemoryStore::new()), client.clone(), &database).await;
    let shutdown = Shutdown::new();
    let running = tokio::spawn(shop.service.clone().run(shutdown.clone()));
    let listening = async {
        while client
            .request("$SRV.PING.commands", "".into())
            .await
            .is_err()
        {
            tokio::time::sleep(POLL_PERIOD).await;
        }
    };
    tokio::time::timeout(READY_LIMIT, listening).await.unwrap();

    let partner = shop.selling_partner().await;
    let admin = Uuid::now_v7();
    let as_admin = format!("Bearer {}", shop.token(Role::Admin, admin));
    let keyed = |key: &'static str| {
        [
            ("Authorization", as_admin.as_str()),
            ("Idempotency-Key", key),
        ]
    };

    // The same key at both doors is one command.
    let added = ask(
        &client,
        "cmd.products.add",
        &keyed("x-1"),
        &product("MUG-1"),
    )
    .await;
    assert_eq!(header(&added, "Status"), "201", "{added:?}");
    let over_http = shop
        .by(Role::Admin, admin, Method::POST, "/v1/products")
        .key("x-1")
        .json(&product("MUG-1"))
        .send()
        .await;
    assert_eq!(
        (over_http.status.as_u16(), over_http.body.clone()),
        (201, body(&added))
    );
    assert_eq!(
        header(&added, "Waybill-Position"),
        over_http.position().to_string()
    );
    assert_eq!(header(&added, "Location"), over_http.header("location"));
    assert_eq!(header(&added, "ETag"), "\"1\"");
    let mug = over_http.id();

    let machine = json!({"name": "Small machine", "type": "vm", "region": "eu-central-1"});
    let [token, key] = keyed("r-1");
    let named = [token, key, ("X-Request-Id", "the-machine")];
    let added = ask(&client, "cmd.resources.add", &named, &machine).await;
    assert_eq!(header(&added, "Status"), "201", "{added:?}");
    // It is called by the name that it came with, or gets one.
    assert_eq!(header(&added, "X-Request-Id"), "the-machine");
    let pair = json!({"customer_id": Uuid::now_v7(), "resource_id": body(&added)["id"]});
    let nobody = ask(&client, "cmd.assignments.assign", &keyed("r-2"), &pair).await;
    assert_eq!(header(&nobody, NATS_SERVICE_ERROR_CODE), "404");
    let sandbox = json!({"id": "sandbox", "title": "Card", "active": true, "checkout": false});
    let set = ask(
        &client,
        "cmd.payment_providers.set",
        &keyed("r-3"),
        &sandbox,
    )
    .await;
    assert_eq!(body(&set), sandbox);
    assert!(!header(&set, "X-Request-Id").is_empty(), "{set:?}");

    let price = json!({"partner_id": partner, "product_id": mug, "price": {"amount": 700, "currency": "EUR"}});
    let set = ask(&client, "cmd.offers.set", &keyed("x-2"), &price).await;
    assert_eq!(header(&set, "Status"), "200", "{set:?}");
    let units = json!({"product_id": mug, "quantity": 3});
    let received = ask(&client, "cmd.inventory.receive", &keyed("x-3"), &units).await;
    assert_eq!(body(&received)["available"], 3);

    let ada = Uuid::now_v7();
    let as_ada = format!("Bearer {}", shop.token(Role::Customer, ada));
    let quoted = ask(
        &client,
        "cmd.orders.check",
        &[("Authorization", &as_ada)],
        &basket(partner, &[(mug, 2)]),
    )
    .await;
    let quote = Uuid::parse_str(body(&quoted)["quote_id"].as_str().unwrap()).unwrap();
    let by_key = [
        ("Authorization", as_ada.as_str()),
        ("Idempotency-Key", "o-1"),
    ];
    let placed = ask(&client, "cmd.orders.place", &by_key, &by_card(quote)).await;
    assert_eq!(header(&placed, "Status"), "202", "{placed:?}");
    let order = body(&placed)["order_id"].clone();
    let cancelled = ask(
        &client,
        "cmd.orders.cancel",
        &by_key,
        &json!({"order_id": order}),
    )
    .await;
    assert_eq!(body(&cancelled)["status"], "cancelling", "{cancelled:?}");

    // Refusals are in the service error headers, with the problem as the body.
    for (subject, headers, content, status, code) in [
        (
            "cmd.products.add",
            vec![],
            product("MUG-2"),
            "401",
            "unauthenticated",
        ),
        (
            "cmd.products.add",
            vec![("Authorization", as_ada.as_str())],
            product("MUG-2"),
            "403",
            "forbidden",
        ),
        (
            "cmd.products.add",
            keyed("x-9").to_vec(),
            product("MUG-1"),
            "409",
            "sku_taken",
        ),
        (
            "cmd.products.add",
            keyed("x-1").to_vec(),
            product("MUG-3"),
            "422",
            "idempotency_key_reused",
        ),
        (
            "cmd.orders.place",
            vec![("Authorization", as_ada.as_str())],
            by_card(quote),
            "400",
            "idempotency_key_missing",
        ),
        (
            "cmd.orders.cancel",
            by_key.to_vec(),
            json!({}),
            "422",
            "invalid",
        ),
    ] {
        let refused = ask(&client, subject, &headers, &content).await;
        assert_eq!(
            header(&refused, NATS_SERVICE_ERROR_CODE),
            status,
            "{subject}: {refused:?}"
        );
        assert_eq!(header(&refused, NATS_SERVICE_ERROR), code);
        assert_eq!(body(&refused)["code"], code);
    }

    shutdown.begin();
    tokio::time::timeout(READY_LIMIT, running)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}
