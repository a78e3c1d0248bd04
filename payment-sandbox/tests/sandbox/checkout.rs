//! Checkout sessions through the API and their hosted page.

use jiff::Timestamp;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::provider::{Answered, Provider, answered, id_of, order, until};

pub fn session_form(order: &str) -> Vec<(&'static str, String)> {
    vec![
        ("mode", "payment".into()),
        (
            "success_url",
            "https://shop.test/done?session={CHECKOUT_SESSION_ID}".into(),
        ),
        ("cancel_url", "https://shop.test/cart".into()),
        ("line_items[0][price_data][currency]", "eur".into()),
        ("line_items[0][price_data][unit_amount]", "1999".into()),
        (
            "line_items[0][price_data][product_data][name]",
            "Lamp <b>".into(),
        ),
        ("line_items[0][quantity]", "2".into()),
        ("line_items[1][price_data][currency]", "eur".into()),
        ("line_items[1][price_data][unit_amount]", "500".into()),
        (
            "line_items[1][price_data][product_data][name]",
            "Bulb".into(),
        ),
        ("line_items[1][quantity]", "1".into()),
        ("payment_intent_data[capture_method]", "manual".into()),
        ("payment_intent_data[metadata][order_id]", order.to_owned()),
        ("metadata[order_id]", order.to_owned()),
        (
            "expires_at",
            (Timestamp::now().as_second() + 31 * 60).to_string(),
        ),
    ]
}

pub async fn open_with(provider: &Provider, form: &[(&'static str, String)]) -> Answered {
    let form: Vec<(&str, &str)> = form
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    provider.post("/v1/checkout/sessions", &form).await
}

pub async fn open(provider: &Provider, order: &str) -> Value {
    open_with(provider, &session_form(order)).await.ok()
}

pub async fn pay(provider: &Provider, session: &Value, token: &str) -> Answered {
    answered(
        provider
            .client
            .post(session["url"].as_str().unwrap())
            .form(&[("token", token)]),
    )
    .await
}

async fn read(provider: &Provider, session: &Value) -> Value {
    provider
        .get(&format!("/v1/checkout/sessions/{}", id_of(session)))
        .await
        .ok()
}

/// Lets the session's time run out without waiting for it.
async fn let_time_pass(provider: &Provider, session: &Value) {
    sqlx::query("update sandbox.checkout_sessions set expires_at = now() - interval '1 second' where id = $1")
        .bind(id_of(session))
        .execute(&provider.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_session_is_paid_on_its_page_and_captured_by_the_shop() {
    let provider = Provider::start().await;
    let order = order();
    let session = open(&provider, &order).await;
    assert_eq!(session["object"], "checkout.session");
    assert_eq!(session["status"], "open");
    assert_eq!(session["payment_status"], "unpaid");
    assert_eq!(session["amount_total"], 4498);
    assert!(session["payment_intent"].is_null());
    let url = session["url"].as_str().unwrap();
    assert!(url.starts_with(&provider.base), "{url}");

    let paid = pay(&provider, &session, "pm_card_visa").await;
    assert_eq!(paid.status, StatusCode::SEE_OTHER);
    assert_eq!(
        paid.headers["location"],
        format!("https://shop.test/done?session={}", id_of(&session)).as_str()
    );

    let complete = read(&provider, &session).await;
    assert_eq!(complete["status"], "complete");
    assert_eq!(complete["payment_status"], "unpaid", "held is not paid");
    assert!(complete["url"].is_null());
    let intent = complete["payment_intent"].as_str().unwrap();
    let held = provider
        .get(&format!("/v1/payment_intents/{intent}"))
        .await
        .ok();
    assert_eq!(held["status"], "requires_capture");
    assert_eq!(held["metadata"]["order_id"], order.as_str());
    let event = provider
        .receiver
        .accepts(&order, "checkout.session.completed")
        .await;
    assert_eq!(event.event["data"]["object"]["payment_intent"], intent);

    provider
        .post(&format!("/v1/payment_intents/{intent}/capture"), &[])
        .await
        .ok();
    assert_eq!(read(&provider, &session).await["payment_status"], "paid");
    assert_eq!(provider.ledger(&order).await["totals"]["captured"], 4498);

    let by_intent = provider
        .get(&format!("/v1/checkout/sessions?payment_intent={intent}"))
        .await
        .ok();
    assert_eq!(id_of(&by_intent["data"][0]), id_of(&session));
}

#[tokio::test]
async fn paying_twice_charges_once() {
    let provider = Provider::start().await;
    let order = order();
    let session = open(&provider, &order).await;
    let (first, second) = tokio::join!(
        pay(&provider, &session, "pm_card_visa"),
        pay(&provider, &session, "pm_card_visa")
    );
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (303, 303));
    assert_eq!(provider.ledger(&order).await["totals"]["authorised"], 4498);
}

#[tokio::test]
async fn after_a_decline_another_card_pays_the_same_intent() {
    let provider = Provider::start().await;
    let order = order();
    let session = open(&provider, &order).await;
    let declined = pay(&provider, &session, "pm_card_visa_chargeDeclined").await;
    assert_eq!(declined.status, StatusCode::PAYMENT_REQUIRED);
    assert!(declined.body.as_str().unwrap().contains("declined"));
    assert_eq!(read(&provider, &session).await["status"], "open");
    provider
        .receiver
        .accepts(&order, "payment_intent.payment_failed")
        .await;

    let intent = provider.ledger(&order).await["intents"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let cancel = provider
        .post(&format!("/v1/payment_intents/{intent}/cancel"), &[])
        .await;
    assert_eq!(
        cancel.refusal(),
        (400, "payment_intent_unexpected_state"),
        "expire the session instead"
    );

    assert_eq!(
        pay(&provider, &session, "pm_card_visa").await.status,
        StatusCode::SEE_OTHER
    );
    assert_eq!(
        provider.ledger(&order).await["intents"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn an_expired_session_cannot_be_paid() {
    let provider = Provider::start().await;
    let order = order();
    let session = open(&provider, &order).await;
    pay(&provider, &session, "pm_card_visa_chargeDeclined").await;
    let expire = format!("/v1/checkout/sessions/{}/expire", id_of(&session));
    let expired = provider.post(&expire, &[]).await.ok();
    assert_eq!(expired["status"], "expired");
    assert!(expired["url"].is_null());
    assert_eq!(provider.post(&expire, &[]).await.status, 400);
    assert_eq!(
        pay(&provider, &session, "pm_card_visa").await.status,
        StatusCode::GONE
    );
    provider
        .receiver
        .accepts(&order, "checkout.session.expired")
        .await;
    let canceled = provider
        .receiver
        .accepts(&order, "payment_intent.canceled")
        .await;
    assert_eq!(
        canceled.event["data"]["object"]["cancellation_reason"],
        "automatic"
    );
    assert_eq!(provider.ledger(&order).await["totals"]["authorised"], 0);
}

#[tokio::test]
async fn a_session_ends_by_itself_when_its_time_is_over() {
    let provider = Provider::start().await;
    let order = order();
    let session = open(&provider, &order).await;
    let_time_pass(&provider, &session).await;
    assert_eq!(
        read(&provider, &session).await["status"],
        "expired",
        "at once"
    );
    provider
        .receiver
        .accepts(&order, "checkout.session.expired")
        .await;
    until(|| async {
        (provider.ledger(&order).await["sessions"][0]["status"] == "expired").then_some(())
    })
    .await;
    assert_eq!(
        pay(&provider, &session, "pm_card_visa").await.status,
        StatusCode::GONE
    );
}

#[tokio::test]
async fn paying_and_expiring_at_the_same_moment_have_one_winner() {
    let provider = Provider::start().await;
    for round in 0..16 {
        let order = order();
        let session = open(&provider, &order).await;
        let path = format!("/v1/checkout/sessions/{}/expire", id_of(&session));
        let (paid, expired) = if round % 2 == 0 {
            tokio::join!(
                pay(&provider, &session, "pm_card_visa"),
                provider.post(&path, &[])
            )
        } else {
            let (expired, paid) = tokio::join!(
                provider.post(&path, &[]),
                pay(&provider, &session, "pm_card_visa")
            );
            (paid, expired)
        };
        let ledger = provider.ledger(&order).await;
        match (paid.status.as_u16(), expired.status.as_u16()) {
            (303, 400) => {
                assert_eq!(ledger["totals"]["held"], 4498);
                assert_eq!(ledger["sessions"][0]["status"], "complete");
            }
            (410, 200) => {
                assert_eq!(ledger["totals"]["authorised"], 0);
                assert_eq!(ledger["sessions"][0]["status"], "expired");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_completed_session_can_be_voided_through_its_intent() {
    let provider = Provider::start().await;
    let order = order();
    let session = open(&provider, &order).await;
    pay(&provider, &session, "pm_card_visa").await;
    let intent = read(&provider, &session).await["payment_intent"]
        .as_str()
        .unwrap()
        .to_owned();
    provider
        .post(&format!("/v1/payment_intents/{intent}/cancel"), &[])
        .await
        .ok();
    assert_eq!(provider.ledger(&order).await["totals"]["held"], 0);
}

#[tokio::test]
async fn sessions_that_stripe_refuses_are_refused() {
    let provider = Provider::start().await;
    let order = order();
    let now = Timestamp::now().as_second();
    let with = |name: &'static str, value: String| {
        let mut form = session_form(&order);
        form.retain(|(key, _)| *key != name);
        if !value.is_empty() {
            form.push((name, value));
        }
        form
    };
    for (name, value) in [
        ("expires_at", (now + 29 * 60).to_string()),
        ("expires_at", (now + 24 * 3600 + 120).to_string()),
        ("expires_at", "soon".into()),
        ("mode", "subscription".into()),
        ("mode", String::new()),
        ("success_url", "javascript:alert(1)".into()),
        ("success_url", String::new()),
        ("line_items[1][price_data][currency]", "usd".into()),
        ("line_items[0][quantity]", "0".into()),
        (
            "line_items[0][price_data][unit_amount]",
            "9999999999999".into(),
        ),
        ("payment_intent_data[capture_method]", "later".into()),
    ] {
        let refused = open_with(&provider, &with(name, value.clone())).await;
        assert_eq!(refused.status, 400, "{name}={value}: {}", refused.body);
    }
    assert_eq!(provider.ledger(&order).await["sessions"], json!([]));
    // The bounds themselves are allowed.
    for ahead in [30 * 60, 24 * 3600] {
        let edge = (Timestamp::now().as_second() + ahead).to_string();
        open_with(&provider, &with("expires_at", edge)).await.ok();
    }
}
