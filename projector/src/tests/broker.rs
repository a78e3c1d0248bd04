//! The same over a real broker: the log is a stream, and operators ask over NATS.

use std::sync::Arc;

use async_nats::HeaderMap;
use bytes::Bytes;
use event_schema::Position;
use event_store::{JetStreamStore, topology};
use serde_json::{Value, json};
use service_kit::Shutdown;
use uuid::Uuid;

use super::fixtures::a_busy_day;
use crate::testing::{PATIENCE, Shop, eventually};
use crate::{Deps, Service, read_models};

async fn request(
    client: &async_nats::Client,
    subject: &str,
    body: &str,
    json: bool,
) -> Result<String, (String, String)> {
    let mut headers = HeaderMap::new();
    if json {
        headers.insert("Accept", "application/json");
    }
    let request =
        client.request_with_headers(subject.to_owned(), headers, Bytes::from(body.to_owned()));
    let message = tokio::time::timeout(PATIENCE, request)
        .await
        .unwrap()
        .unwrap();
    let header = |name| {
        message
            .headers
            .as_ref()
            .and_then(|h| h.get(name))
            .map(|value| value.to_string())
    };
    match (
        header("Nats-Service-Error-Code"),
        header("Nats-Service-Error"),
    ) {
        (Some(code), Some(text)) => Err((code, text)),
        _ => Ok(String::from_utf8(message.payload.to_vec()).unwrap()),
    }
}

/// What command-api asks of an inbox.
fn asks(person: Uuid, notification: Option<Uuid>) -> String {
    let mut question = json!({"person": person, "partner_id": null, "admin": false});
    if let Some(id) = notification {
        question["notification_id"] = json!(id);
    }
    question.to_string()
}

/// Whether a line of a table begins so.
fn says(text: &str, name: &str, status: &str) -> bool {
    let begins = |line: &str| line.split_whitespace().take(2).eq([name, status]);
    text.lines().any(begins)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_projected_and_operators_look_at_it_with_the_plain_nats_command() {
    let server = tokio::task::spawn_blocking(dev_servers::NatsServer::temporary)
        .await
        .unwrap()
        .unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    topology::migrate(&client, 1).await.unwrap();
    let store = JetStreamStore::connect(client.clone()).await.unwrap();
    let shop = Shop::with_log(Arc::new(store)).await;
    let deps = Deps {
        nats: Some(client.clone()),
        ..shop.deps()
    };
    let service = Service::new(deps).await.unwrap();
    let shutdown = Shutdown::new();
    let running = tokio::spawn(service.run(shutdown.clone()));

    let orders_placed = a_busy_day(&shop, 4).await;
    let names: Vec<&str> = read_models::all()
        .iter()
        .map(|projection| projection.name())
        .collect();
    let Position(end) = shop.wait_until_caught_up(&names).await;
    let rows = shop.rows().await;
    assert_eq!(rows["orders"].len(), orders_placed.len());

    eventually("the service answers", async || {
        client
            .request("projections.ls", Bytes::new())
            .await
            .ok()
            .filter(|m| m.status.is_none())
    })
    .await;
    let text = request(&client, "projections.ls", "", false).await.unwrap();
    assert!(says(&text, "orders", "live"), "{text}");
    let json: Value =
        serde_json::from_str(&request(&client, "projections.ls", "", true).await.unwrap()).unwrap();
    let listed = json["data"].as_array().unwrap();
    let orders = listed.iter().find(|one| one["name"] == "orders").unwrap();
    assert_eq!(
        (
            orders["name"].as_str(),
            orders["position"].as_u64(),
            orders["lag"].as_u64()
        ),
        (Some("orders"), Some(end), Some(0))
    );

    let text = request(&client, "projections.verify", "orders", false)
        .await
        .unwrap();
    assert!(
        text.contains("orders is what the log says: 4 rows"),
        "{text}"
    );
    sqlx::query("update read.orders set status = 'delivered'")
        .execute(&shop.pool)
        .await
        .unwrap();
    let text = request(&client, "projections.verify", "orders", false)
        .await
        .unwrap();
    assert!(text.contains("status is \"delivered\""), "{text}");
    let body = r#"{"name": "orders", "wait": true}"#;
    let json = request(&client, "projections.rebuild", body, true)
        .await
        .unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&json).unwrap()["result"],
        "rebuilt"
    );
    assert_eq!(shop.rows().await, rows);

    let text = request(&client, "projections.pause", "inbox", false)
        .await
        .unwrap();
    assert_eq!(text, "inbox is paused\n");
    let text = request(&client, "projections.ls", "", false).await.unwrap();
    assert!(says(&text, "inbox", "paused"), "{text}");
    request(&client, "projections.resume", "inbox", false)
        .await
        .unwrap();

    for (subject, body, code) in [
        ("projections.rebuild", "nonsense", "404"),
        ("projections.pause", "nonsense", "404"),
        ("projections.verify", "", "400"),
        ("projections.rebuild", "{\"nam", "400"),
    ] {
        let (said, text) = request(&client, subject, body, false).await.unwrap_err();
        assert_eq!(said, code, "{subject} {body}: {text}");
    }

    // Whether a notification is somebody's, for those who have no rows.
    let order = &orders_placed[0];
    let person = order.customer;
    let newest = request(&client, "inbox.newest", &asks(person, None), false)
        .await
        .unwrap();
    let newest: Value = serde_json::from_str(&newest).unwrap();
    let id: (Uuid, i64) = sqlx::query_as(
        "select id, position from read.notifications where recipient = $1 order by position desc limit 1",
    )
    .bind(person)
    .fetch_one(&shop.pool)
    .await
    .unwrap();
    assert_eq!(newest["position"], id.1);
    let found = request(&client, "inbox.find", &asks(person, Some(id.0)), false).await;
    assert_eq!(
        serde_json::from_str::<Value>(&found.unwrap()).unwrap()["position"],
        id.1
    );
    let nobody = request(&client, "inbox.newest", &asks(Uuid::now_v7(), None), false).await;
    assert_eq!(nobody.unwrap(), r#"{"position":null}"#);
    for (subject, body, code) in [
        ("inbox.find", asks(Uuid::now_v7(), Some(id.0)), "404"),
        ("inbox.find", asks(person, Some(Uuid::now_v7())), "404"),
        ("inbox.find", asks(person, None), "400"),
        (
            "inbox.delivery",
            json!({"delivery_id": id.0}).to_string(),
            "404",
        ),
        ("inbox.newest", "somebody".into(), "400"),
        ("inbox.newest", " ".repeat(2_000), "400"),
    ] {
        let (said, text) = request(&client, subject, &body, false).await.unwrap_err();
        assert_eq!(said, code, "{subject} {body}: {text}");
    }

    // A restart of the broker is a pause, not an end.
    let server = tokio::task::spawn_blocking(move || server.restart().map(|()| server))
        .await
        .unwrap()
        .unwrap();
    eventually("the log can be written again", async || {
        let end = shop.store.end().await.ok()?;
        (end.position.0 >= 1).then_some(())
    })
    .await;
    a_busy_day(&shop, 2).await;
    shop.wait_until_caught_up(&names).await;
    assert_eq!(shop.rows().await["orders"].len(), 6);

    shutdown.begin();
    running.await.unwrap().unwrap();
    drop(server);
}
