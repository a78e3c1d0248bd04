//! Failures on demand.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::provider::{Provider, answered, card_form, order, within};

#[tokio::test]
async fn a_500_does_nothing_and_is_repeated_under_its_key() {
    let provider = Provider::start().await;
    let order = order();
    provider
        .order_faults(json!({ "operation": "create", "kind": "500", "times": 1 }))
        .await;
    let form = card_form(&order, "pm_card_visa", "500");
    assert_eq!(
        provider
            .post_with_key("/v1/payment_intents", "e-1", &form)
            .await
            .status,
        500
    );
    let repeat = provider
        .post_with_key("/v1/payment_intents", "e-1", &form)
        .await;
    assert_eq!(repeat.status, 500);
    assert!(repeat.replayed());
    assert_eq!(provider.ledger(&order).await["intents"], json!([]));
    provider
        .post_with_key("/v1/payment_intents", "e-2", &form)
        .await
        .ok();
}

#[tokio::test]
async fn a_500_after_the_fact_has_done_it() {
    let provider = Provider::start().await;
    let order = order();
    let id = provider.held(&order, 500).await;
    provider
        .order_faults(json!({ "operation": "capture", "kind": "500_after" }))
        .await;
    let path = format!("/v1/payment_intents/{id}/capture");
    assert_eq!(provider.post_with_key(&path, "c-1", &[]).await.status, 500);
    assert_eq!(provider.ledger(&order).await["totals"]["captured"], 500);
    assert_eq!(
        provider.post_with_key(&path, "c-1", &[]).await.status,
        500,
        "as it was answered"
    );
}

#[tokio::test]
async fn a_connection_dropped_before_leaves_nothing_and_after_leaves_everything() {
    let provider = Provider::start().await;
    let order = order();
    let form = card_form(&order, "pm_card_visa", "500");
    let send = async || {
        within(
            provider
                .post_request("/v1/payment_intents", &form)
                .header("Idempotency-Key", "e-1")
                .send(),
        )
        .await
    };
    provider
        .order_faults(json!({ "operation": "create", "kind": "drop_before", "times": 1 }))
        .await;
    assert!(send().await.is_err());
    assert_eq!(provider.ledger(&order).await["intents"], json!([]));

    provider
        .order_faults(json!({ "operation": "create", "kind": "drop_after", "times": 2 }))
        .await;
    assert!(send().await.is_err());
    assert_eq!(provider.ledger(&order).await["totals"]["held"], 500);
    assert!(send().await.is_err(), "the repeated answer is lost, too");
    let third = send().await.unwrap();
    assert_eq!(third.headers()["idempotent-replayed"], "true");
    assert_eq!(
        provider.ledger(&order).await["intents"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_delay_and_a_429_are_possible() {
    let provider = Provider::start().await;
    let order = order();
    let id = provider.held(&order, 500).await;
    let path = format!("/v1/payment_intents/{id}/cancel");
    provider
        .order_faults(json!({ "operation": "cancel", "kind": "429" }))
        .await;
    let busy = provider.post_with_key(&path, "v-1", &[]).await;
    assert_eq!(busy.refusal(), (429, "rate_limit"));
    provider
        .order_faults(json!({ "operation": "cancel", "kind": "delay", "delay_ms": 400 }))
        .await;
    let started = Instant::now();
    let late = provider.post_with_key(&path, "v-1", &[]).await;
    assert!(!late.replayed(), "a 429 is not remembered");
    assert_eq!(late.ok()["status"], "canceled");
    assert!(started.elapsed() >= Duration::from_millis(400));
}

#[tokio::test]
async fn a_fault_can_be_meant_for_one_order() {
    let provider = Provider::start().await;
    let (unlucky, lucky) = (order(), order());
    let (unlucky_id, lucky_id) = (
        provider.held(&unlucky, 500).await,
        provider.held(&lucky, 500).await,
    );
    provider
        .order_faults(json!({ "operation": "capture", "kind": "500", "order_id": unlucky }))
        .await;
    provider
        .post(&format!("/v1/payment_intents/{lucky_id}/capture"), &[])
        .await
        .ok();
    let failed = provider
        .post(&format!("/v1/payment_intents/{unlucky_id}/capture"), &[])
        .await;
    assert_eq!(failed.status, 500);
    let calls = provider.ledger(&unlucky).await["calls"].clone();
    let last = calls.as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["fault"], &last["status"]),
        (&json!("500"), &json!(500))
    );
}

#[tokio::test]
async fn every_operation_can_be_made_to_fail() {
    let provider = Provider::start().await;
    let id = provider.held(&order(), 500).await;
    for (operation, method, path) in [
        ("create", "post", "/v1/payment_intents".to_owned()),
        (
            "confirm",
            "post",
            format!("/v1/payment_intents/{id}/confirm"),
        ),
        (
            "capture",
            "post",
            format!("/v1/payment_intents/{id}/capture"),
        ),
        ("cancel", "post", format!("/v1/payment_intents/{id}/cancel")),
        ("refund", "post", "/v1/refunds".to_owned()),
        ("session", "post", "/v1/checkout/sessions".to_owned()),
        (
            "expire",
            "post",
            "/v1/checkout/sessions/cs_x/expire".to_owned(),
        ),
        ("get", "get", format!("/v1/payment_intents/{id}")),
        ("list", "get", "/v1/payment_intents".to_owned()),
        (
            "search",
            "get",
            "/v1/payment_intents/search?query=status:'succeeded'".to_owned(),
        ),
    ] {
        let order = order();
        let form: Vec<(&'static str, String)> = match operation {
            "create" => card_form(&order, "pm_card_visa", "5")
                .into_iter()
                .map(|(name, value)| (name, value.to_owned()))
                .collect(),
            "refund" => vec![("payment_intent", id.clone())],
            "session" => crate::checkout::session_form(&order),
            _ => Vec::new(),
        };
        let form: Vec<(&str, &str)> = form
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        provider
            .order_faults(json!({ "operation": operation, "kind": "500" }))
            .await;
        let failed = match method {
            "post" => provider.post(&path, &form).await,
            _ => provider.get(&path).await,
        };
        assert_eq!(failed.status, 500, "{operation}: {}", failed.body);
    }
    let waiting = answered(
        provider
            .client
            .get(format!("{}/sandbox/faults", provider.base)),
    )
    .await
    .ok();
    assert_eq!(waiting["faults"], json!([]), "each struck once");
}

#[tokio::test]
async fn faults_are_listed_cleared_and_checked() {
    let provider = Provider::start().await;
    let url = format!("{}/sandbox/faults", provider.base);
    provider
        .order_faults(json!({ "operation": "list", "kind": "500", "times": 3 }))
        .await;
    let waiting = answered(provider.client.get(&url)).await.ok();
    assert_eq!(waiting["faults"][0]["times"], 3);
    assert_eq!(
        provider.client.delete(&url).send().await.unwrap().status(),
        204
    );
    provider.get("/v1/payment_intents").await.ok();
    for bad in [
        json!({ "operation": "fly", "kind": "500" }),
        json!({ "operation": "list", "kind": "never" }),
        json!({ "operation": "list", "kind": "500", "times": 0 }),
        json!({ "operation": "list", "kind": "500", "times": 1001 }),
        json!({ "operation": "list", "kind": "delay", "delay_ms": -1 }),
        json!({ "operation": "list", "kind": "500", "tiems": 3 }),
        Value::Null,
    ] {
        let refused = answered(provider.client.post(&url).json(&bad)).await;
        assert_eq!(refused.status, 400, "{bad}");
    }
}
