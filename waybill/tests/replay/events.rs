//! The log over HTTP as a browser or a script reads it.

use reqwest::Method;
use serde_json::Value;
use testkit::{Person, Shop, within};

use crate::WAYBILL;
use crate::ground::confirmed;

/// A live answer, read until it has so many messages; their ids and types.
async fn live(
    person: &Person,
    path: &str,
    last_id: Option<u64>,
    count: usize,
) -> Vec<(u64, String)> {
    let mut request = person.request(Method::GET, path);
    if let Some(id) = last_id {
        request = request.header("Last-Event-ID", id);
    }
    let mut response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    loop {
        let messages: Vec<(u64, String)> = text.split("\n\n").filter_map(message).collect();
        if messages.len() >= count && text.ends_with("\n\n") {
            return messages;
        }
        let chunk =
            tokio::time::timeout(std::time::Duration::from_secs(30), response.chunk()).await;
        text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap().unwrap()).unwrap());
    }
}

fn message(text: &str) -> Option<(u64, String)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let data: Value = serde_json::from_str(field("data: ")?).ok()?;
    Some((
        field("id: ")?.parse().unwrap(),
        data["event_type"].as_str()?.to_owned(),
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_follows_an_order_live_and_reads_its_past() {
    let mut shop = Shop::start(WAYBILL, &[]).await;
    let (partner, lamp) = (shop.exported("PARTNER"), shop.exported("LAMP"));
    let (admin, customer) = (shop.admin(), shop.customer());
    let order = confirmed(&customer, &partner, &lamp).await;
    let subject = format!("evt.order.{}.{order}", &order[34..]);
    let past = admin
        .get(&format!("/v1/events?subject={subject}"))
        .await
        .ok();
    let events = past["data"].as_array().unwrap();
    let types: Vec<&str> = events
        .iter()
        .map(|e| e["event_type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["order.placed", "order.confirmed"]);
    assert_eq!(
        events[0]["data"]["delivery_address"], "Unter den Linden 1, Berlin",
        "{past}"
    );
    let placed = events[0]["position"].as_u64().unwrap();

    let path = format!("/v1/events/live?subject={subject}");
    let seen = live(&admin, &path, Some(placed - 1), 2).await;
    assert_eq!(seen[0], (placed, "order.placed".into()));
    let seen = live(&admin, &path, Some(placed), 1).await;
    assert_eq!(seen[0].1, "order.confirmed");

    // From now on, while it happens.
    let following = tokio::spawn({
        let admin = admin.clone();
        async move { live(&admin, "/v1/events/live?subject=evt.order.%3E", None, 2).await }
    });
    let placing = async {
        // Until the reader is there: it begins at whatever is the end by then.
        while !following.is_finished() {
            confirmed(&customer, &partner, &lamp).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), placing)
        .await
        .unwrap();
    assert_eq!(following.await.unwrap().len(), 2);

    customer.get("/v1/events").await.refused(403, "forbidden");
    let answer = customer
        .request(Method::GET, "/v1/events/live")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_reader_does_not_hold_up_the_end() {
    let mut shop = Shop::start(WAYBILL, &[]).await;
    let admin = shop.admin();
    let response = admin
        .request(Method::GET, "/v1/events/live")
        .send()
        .await
        .unwrap();
    let reading = tokio::spawn(response.text());
    let started = std::time::Instant::now();
    shop.stop().await;
    assert!(
        started.elapsed() < std::time::Duration::from_secs(9),
        "{:?}",
        started.elapsed()
    );
    let text = within("the reader's answer ends", || async {
        reading.is_finished().then_some(())
    });
    text.await;
    let text = reading.await.unwrap().unwrap();
    assert!(text.contains("the server is being stopped"), "{text}");
}
