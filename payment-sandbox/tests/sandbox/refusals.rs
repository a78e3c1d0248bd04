//! What is refused before anything is done, in Stripe's words.

use crate::provider::{API_KEY, Provider, answered, card_form, order};

#[tokio::test]
async fn without_the_right_key_nothing_is_answered() {
    let provider = Provider::start().await;
    let url = format!("{}/v1/payment_intents", provider.base);
    let missing = answered(provider.client.get(&url)).await;
    assert_eq!(missing.status, 401);
    assert_eq!(missing.body["error"]["type"], "invalid_request_error");
    assert!(missing.headers.contains_key("www-authenticate"));
    assert!(missing.headers.contains_key("request-id"));
    let wrong = answered(provider.client.get(&url).bearer_auth("sk_test_wrong")).await;
    assert_eq!(wrong.status, 401);
    assert!(!wrong.body.to_string().contains("sk_test_wrong"));
    let basic = answered(provider.client.get(&url).basic_auth(API_KEY, Some(""))).await;
    assert_eq!(basic.status, 200);
}

#[tokio::test]
async fn parameters_that_stripe_refuses_are_refused() {
    let provider = Provider::start().await;
    let order = order();
    let good = card_form(&order, "pm_card_visa", "500");
    let with = |name: &'static str, value: &'static str| {
        let mut form: Vec<(&str, &str)> = good
            .iter()
            .copied()
            .filter(|(key, _)| *key != name)
            .collect();
        if !value.is_empty() {
            form.push((name, value));
        }
        form
    };
    for (name, value, code) in [
        ("amount", "0", "parameter_invalid_integer"),
        ("amount", "-5", "parameter_invalid_integer"),
        ("amount", "1.5", "parameter_invalid_integer"),
        ("amount", "1000000000000", "amount_too_large"),
        ("amount", "", "parameter_missing"),
        ("currency", "xyz", ""),
        ("currency", "", "parameter_missing"),
        ("payment_method", "pm_card_unknown", "resource_missing"),
        ("payment_method", "", "parameter_missing"),
        ("capture_method", "sometimes", ""),
        ("confirm", "yes", ""),
        ("payment_method_types[]", "ideal", ""),
        ("payment_method_types[]", "", ""),
        ("amout", "500", "parameter_unknown"),
        ("amount[x]", "500", ""),
    ] {
        let refused = provider
            .post("/v1/payment_intents", &with(name, value))
            .await;
        assert_eq!(
            refused.refusal(),
            (400, code),
            "{name}={value}: {}",
            refused.body
        );
        assert_eq!(refused.body["error"]["type"], "invalid_request_error");
    }
    let ledger = provider.ledger(&order).await;
    assert_eq!(ledger["intents"], serde_json::json!([]), "nothing was done");
    assert!(
        ledger["calls"].as_array().unwrap().len() >= 10,
        "each was noted"
    );
}

#[tokio::test]
async fn unknown_ids_and_routes_are_404_in_the_same_shape() {
    let provider = Provider::start().await;
    for path in [
        "/v1/payment_intents/pi_none",
        "/v1/payment_intents/pi%00none",
        "/v1/checkout/sessions/cs_none",
        "/v1/refunds/re_none",
        "/v1/charges/ch_none",
        "/v1/events/evt_none",
    ] {
        assert_eq!(
            provider.get(path).await.refusal(),
            (404, "resource_missing"),
            "{path}"
        );
    }
    for path in [
        "/v1/payment_intents/pi_none/capture",
        "/v1/payment_intents/pi_none/cancel",
        "/v1/payment_intents/pi_none/confirm",
        "/v1/checkout/sessions/cs_none/expire",
    ] {
        assert_eq!(
            provider.post(path, &[]).await.refusal(),
            (404, "resource_missing"),
            "{path}"
        );
    }
    let route = provider.get("/v1/customers").await;
    assert_eq!(route.status, 404);
    assert_eq!(route.body["error"]["type"], "invalid_request_error");
    let method = answered(
        provider
            .client
            .delete(format!("{}/v1/refunds", provider.base))
            .bearer_auth(API_KEY),
    )
    .await;
    assert_eq!(method.status, 404);
}

#[tokio::test]
async fn a_body_in_another_encoding_or_too_large_is_refused() {
    let provider = Provider::start().await;
    let url = format!("{}/v1/payment_intents", provider.base);
    let json = provider
        .client
        .post(&url)
        .bearer_auth(API_KEY)
        .json(&serde_json::json!({ "amount": 5 }));
    assert_eq!(answered(json).await.status, 400);
    let huge = "x".repeat(300 * 1024);
    let large = provider
        .post("/v1/payment_intents", &[("description", &huge)])
        .await;
    assert_eq!(large.status, 413);
    assert_eq!(large.body["error"]["type"], "invalid_request_error");
    let long_key = "k".repeat(256);
    let key = provider
        .post_with_key("/v1/payment_intents", &long_key, &[])
        .await;
    assert_eq!(key.status, 400);
}
