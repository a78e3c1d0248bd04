//! Cards that misbehave: late, silent, refused later on.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::provider::{Provider, card_form, id_of, order, until, within};

#[tokio::test]
async fn the_silent_card_is_charged_although_no_answer_comes() {
    let provider = Provider::start().await;
    let order = order();
    let form = card_form(&order, "pm_waybill_timeout", "500");
    let started = Instant::now();
    let lost = within(
        provider
            .post_request("/v1/payment_intents", &form)
            .header("Idempotency-Key", "effect-1")
            .send(),
    )
    .await;
    assert!(lost.is_err(), "{lost:?}");
    assert!(
        started.elapsed() >= Duration::from_millis(600),
        "the connection was held"
    );

    let ledger = provider.ledger(&order).await;
    assert_eq!(ledger["totals"]["held"], 500);
    assert_eq!(ledger["calls"][0]["delivery"], "held");
    provider
        .receiver
        .accepts(&order, "payment_intent.amount_capturable_updated")
        .await;

    // The same call under its key tells what happened.
    let again = provider
        .post_with_key("/v1/payment_intents", "effect-1", &form)
        .await;
    assert!(again.replayed());
    let id = id_of(&again.ok());
    assert_eq!(ledger["intents"][0]["id"], id.as_str());
    let captured = provider
        .post(&format!("/v1/payment_intents/{id}/capture"), &[])
        .await
        .ok();
    assert_eq!(captured["status"], "succeeded");
}

#[tokio::test]
async fn the_silent_card_is_in_the_ledger_when_its_client_gave_up() {
    let provider =
        Provider::start_with(|config| config.timeout_hold = Duration::from_secs(60)).await;
    let order = order();
    let form = card_form(&order, "pm_waybill_timeout", "500");
    let lost = provider
        .post_request("/v1/payment_intents", &form)
        .timeout(Duration::from_millis(300))
        .send()
        .await;
    assert!(lost.unwrap_err().is_timeout());
    until(|| async { (provider.ledger(&order).await["totals"]["held"] == 500).then_some(()) })
        .await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_held_requests() {
    let provider =
        Provider::start_with(|config| config.timeout_hold = Duration::from_secs(60)).await;
    let order = order();
    let form = card_form(&order, "pm_waybill_timeout", "500");
    let held = tokio::spawn(provider.post_request("/v1/payment_intents", &form).send());
    until(|| async { (provider.ledger(&order).await["totals"]["held"] == 500).then_some(()) })
        .await;
    let started = Instant::now();
    provider.stop().await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    assert!(within(held).await.unwrap().is_err());
}

#[tokio::test]
async fn the_slow_card_is_answered_late() {
    let provider = Provider::start().await;
    let order = order();
    let started = Instant::now();
    let intent = provider
        .authorise(&order, "pm_waybill_slow", 500)
        .await
        .ok();
    assert!(started.elapsed() >= Duration::from_millis(600));
    assert_eq!(intent["status"], "requires_capture");
}

#[tokio::test]
async fn a_server_error_is_repeated_under_its_key_and_gone_under_another() {
    let provider = Provider::start().await;
    let order = order();
    let form = card_form(&order, "pm_waybill_5xx_once", "500");
    let first = provider
        .post_with_key("/v1/payment_intents", "effect-1", &form)
        .await;
    assert_eq!(first.status, 500);
    assert_eq!(first.body["error"]["type"], "api_error");
    let repeat = provider
        .post_with_key("/v1/payment_intents", "effect-1", &form)
        .await;
    assert_eq!(repeat.status, 500);
    assert!(repeat.replayed());
    assert_eq!(provider.ledger(&order).await["totals"]["authorised"], 0);
    let other = provider
        .post_with_key("/v1/payment_intents", "effect-2", &form)
        .await
        .ok();
    assert_eq!(other["status"], "requires_capture");
}

#[tokio::test]
async fn a_payment_in_processing_settles_by_itself() {
    let provider = Provider::start().await;
    let order = order();
    let intent = provider
        .authorise(&order, "pm_waybill_processing", 500)
        .await
        .ok();
    assert_eq!(intent["status"], "processing");
    provider
        .receiver
        .accepts(&order, "payment_intent.processing")
        .await;
    provider
        .receiver
        .accepts(&order, "payment_intent.amount_capturable_updated")
        .await;
    let read = provider
        .get(&format!("/v1/payment_intents/{}", id_of(&intent)))
        .await
        .ok();
    assert_eq!(read["status"], "requires_capture");
}

#[tokio::test]
async fn a_capture_that_is_refused_for_good_leaves_money_that_can_be_let_go() {
    let provider = Provider::start().await;
    let order = order();
    let id = id_of(
        &provider
            .authorise(&order, "pm_waybill_capture_refused", 500)
            .await
            .ok(),
    );
    for key in ["capture-1", "capture-2"] {
        let refused = provider
            .post_with_key(&format!("/v1/payment_intents/{id}/capture"), key, &[])
            .await;
        assert_eq!(refused.refusal(), (402, "card_declined"));
        assert_eq!(
            refused.body["error"]["payment_intent"]["status"],
            "requires_capture"
        );
    }
    provider
        .post(&format!("/v1/payment_intents/{id}/cancel"), &[])
        .await
        .ok();
    assert_eq!(provider.ledger(&order).await["totals"]["held"], 0);
}

#[tokio::test]
async fn a_void_that_is_refused_leaves_the_money_held() {
    let provider = Provider::start().await;
    let order = order();
    let id = id_of(
        &provider
            .authorise(&order, "pm_waybill_void_refused", 500)
            .await
            .ok(),
    );
    let refused = provider
        .post(&format!("/v1/payment_intents/{id}/cancel"), &[])
        .await;
    assert_eq!(refused.refusal(), (400, "intent_invalid_state"));
    assert_eq!(provider.ledger(&order).await["totals"]["held"], 500);
}

#[tokio::test]
async fn an_amount_can_be_authorised_short() {
    let provider = Provider::start().await;
    let intent = provider
        .authorise(&order(), "pm_waybill_amount_mismatch", 500)
        .await
        .ok();
    assert_eq!(intent["amount"], 500);
    assert_eq!(intent["amount_capturable"], 499);
}

#[tokio::test]
async fn a_card_that_needs_the_customer_is_declined_when_he_is_not_there() {
    let provider = Provider::start().await;
    let order = order();
    let mut form = card_form(&order, "pm_card_authenticationRequired", "500");
    form.push(("off_session", "true"));
    let declined = provider.post("/v1/payment_intents", &form).await;
    assert_eq!(declined.refusal(), (402, "card_declined"));
    assert_eq!(
        declined.body["error"]["decline_code"],
        "authentication_required"
    );
    assert_eq!(provider.ledger(&order).await["totals"]["held"], json!(0));
}
