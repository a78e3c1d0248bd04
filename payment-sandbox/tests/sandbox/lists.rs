//! Finding what was made: lists newest first, and a search that lags.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::provider::{Provider, id_of, order, until};

fn ids(list: &Value) -> Vec<String> {
    list["data"].as_array().unwrap().iter().map(id_of).collect()
}

#[tokio::test]
async fn a_list_is_paged_newest_first() {
    let provider = Provider::start().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(provider.held(&order(), 100).await);
    }
    made.reverse();
    let first = provider.get("/v1/payment_intents?limit=2").await.ok();
    assert_eq!(first["object"], "list");
    assert_eq!(first["has_more"], true);
    assert_eq!(ids(&first), made[..2]);
    let second = provider
        .get(&format!(
            "/v1/payment_intents?limit=3&starting_after={}",
            made[1]
        ))
        .await
        .ok();
    assert_eq!(second["has_more"], false);
    assert_eq!(ids(&second), made[2..]);

    for bad in [
        "limit=0",
        "limit=101",
        "limit=x",
        "starting_after=pi_none",
        "created[about]=5",
        "unknown=1",
    ] {
        assert_eq!(
            provider
                .get(&format!("/v1/payment_intents?{bad}"))
                .await
                .status,
            400,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn a_list_is_bounded_by_the_second_of_creation() {
    let provider = Provider::start().await;
    let id = provider.held(&order(), 100).await;
    let created = provider
        .get(&format!("/v1/payment_intents/{id}"))
        .await
        .ok()["created"]
        .as_i64()
        .unwrap();
    let count = async |bounds: String| {
        ids(&provider
            .get(&format!("/v1/payment_intents?{bounds}"))
            .await
            .ok())
        .len()
    };
    assert_eq!(
        count(format!("created[gte]={created}&created[lte]={created}")).await,
        1
    );
    assert_eq!(count(format!("created={created}")).await, 1);
    assert_eq!(count(format!("created[gt]={created}")).await, 0);
    assert_eq!(count(format!("created[lt]={created}")).await, 0);
    let percent_encoded = format!("created%5Bgte%5D={}", created + 1);
    assert_eq!(count(percent_encoded).await, 0);
}

#[tokio::test]
async fn a_search_finds_an_order_after_a_while() {
    let provider = Provider::start_with(|config| config.search_lag = Duration::from_secs(1)).await;
    let order = order();
    let id = provider.held(&order, 100).await;
    provider.held(&crate::provider::order(), 100).await;
    let path = format!("/v1/payment_intents/search?query=metadata['order_id']:'{order}'");
    let made = Timestamp::now();
    let at_once = provider.get(&path).await.ok();
    if Timestamp::now().duration_since(made).as_millis() < 500 {
        assert!(
            ids(&at_once).is_empty(),
            "the search lags behind the ledger"
        );
    }
    assert_eq!(at_once["object"], "search_result");
    let found = until(|| async {
        let found = ids(&provider.get(&path).await.ok());
        (!found.is_empty()).then_some(found)
    })
    .await;
    assert_eq!(found, [id]);
    assert_eq!(
        provider
            .get("/v1/payment_intents/search?query=everything")
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn events_can_be_listed_and_read() {
    let provider = Provider::start().await;
    provider.held(&order(), 100).await;
    let events = provider
        .get("/v1/events?type=payment_intent.created")
        .await
        .ok();
    let event = &events["data"][0];
    assert_eq!(event["object"], "event");
    let read = provider
        .get(&format!("/v1/events/{}", id_of(event)))
        .await
        .ok();
    assert_eq!(&read, event);
}

#[tokio::test]
async fn the_totals_show_every_order_that_paid_twice() {
    let provider = Provider::start().await;
    let twice = order();
    for order in [&twice, &twice, &order()] {
        let id = provider.held(order, 100).await;
        provider
            .post(&format!("/v1/payment_intents/{id}/capture"), &[])
            .await
            .ok();
    }
    let totals = crate::provider::answered(
        provider
            .client
            .get(format!("{}/sandbox/ledger/totals", provider.base)),
    )
    .await
    .ok();
    assert_eq!(totals["captured"], 300);
    assert_eq!(totals["orders_captured_more_than_once"], 1);
    assert_eq!(totals["examples"][0], twice.as_str());
}
