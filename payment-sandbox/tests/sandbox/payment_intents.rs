//! The life of a card payment.

use serde_json::json;

use crate::provider::{Provider, id_of, order};

#[tokio::test]
async fn a_good_card_is_authorised_and_captured_once() {
    let provider = Provider::start().await;
    let order = order();

    let intent = provider.authorise(&order, "pm_card_visa", 1999).await.ok();
    assert_eq!(intent["object"], "payment_intent");
    assert_eq!(intent["status"], "requires_capture");
    assert_eq!(intent["amount"], 1999);
    assert_eq!(intent["amount_capturable"], 1999);
    assert_eq!(intent["amount_received"], 0);
    assert_eq!(intent["currency"], "eur");
    assert_eq!(intent["livemode"], false);
    assert_eq!(intent["metadata"], json!({ "order_id": order }));
    let id = id_of(&intent);
    assert!(id.starts_with("pi_"), "{id}");

    let captured = provider
        .post(&format!("/v1/payment_intents/{id}/capture"), &[])
        .await
        .ok();
    assert_eq!(captured["status"], "succeeded");
    assert_eq!(captured["amount_received"], 1999);
    assert_eq!(captured["amount_capturable"], 0);

    let again = provider
        .post(&format!("/v1/payment_intents/{id}/capture"), &[])
        .await;
    assert_eq!(again.refusal(), (400, "payment_intent_unexpected_state"));
    assert_eq!(again.body["error"]["payment_intent"]["status"], "succeeded");

    let ledger = provider.ledger(&order).await;
    assert_eq!(
        ledger["totals"],
        json!({ "authorised": 1999, "held": 0, "captured": 1999, "refunded": 0, "kept": 1999, "times_captured": 1 })
    );
    let read = provider
        .get(&format!("/v1/payment_intents/{id}"))
        .await
        .ok();
    assert_eq!(read, captured);

    let charge = provider
        .get(&format!(
            "/v1/charges/{}",
            read["latest_charge"].as_str().unwrap()
        ))
        .await
        .ok();
    assert_eq!(charge["amount_captured"], 1999);
    assert_eq!(charge["payment_intent"], id.as_str());
    assert_eq!(charge["metadata"]["order_id"], order.as_str());
}

#[tokio::test]
async fn a_declined_card_is_402_with_the_intent_and_takes_nothing() {
    let provider = Provider::start().await;
    for (token, decline_code) in [
        ("pm_card_visa_chargeDeclined", "generic_decline"),
        (
            "pm_card_chargeDeclinedInsufficientFunds",
            "insufficient_funds",
        ),
    ] {
        let order = order();
        let declined = provider.authorise(&order, token, 500).await;
        assert_eq!(declined.refusal(), (402, "card_declined"));
        let error = &declined.body["error"];
        assert_eq!(error["type"], "card_error");
        assert_eq!(error["decline_code"], decline_code);
        assert_eq!(error["payment_intent"]["status"], "requires_payment_method");
        assert_eq!(
            error["payment_intent"]["last_payment_error"]["decline_code"],
            decline_code
        );
        assert_eq!(provider.ledger(&order).await["totals"]["authorised"], 0);
    }
}

#[tokio::test]
async fn another_card_can_be_tried_after_a_decline() {
    let provider = Provider::start().await;
    let order = order();
    let declined = provider
        .authorise(&order, "pm_card_visa_chargeDeclined", 500)
        .await;
    let id = id_of(&declined.body["error"]["payment_intent"]);
    let confirm = format!("/v1/payment_intents/{id}/confirm");

    let without = provider.post(&confirm, &[]).await;
    assert_eq!(without.refusal(), (400, "parameter_missing"));
    let confirmed = provider
        .post(&confirm, &[("payment_method", "pm_card_visa")])
        .await
        .ok();
    assert_eq!(confirmed["status"], "requires_capture");
    assert!(confirmed["last_payment_error"].is_null());
    let again = provider
        .post(&confirm, &[("payment_method", "pm_card_visa")])
        .await;
    assert_eq!(again.refusal(), (400, "payment_intent_unexpected_state"));
}

#[tokio::test]
async fn an_intent_without_confirm_waits() {
    let provider = Provider::start().await;
    let open = provider
        .post(
            "/v1/payment_intents",
            &[("amount", "5"), ("currency", "EUR")],
        )
        .await
        .ok();
    assert_eq!(open["status"], "requires_payment_method");
    assert_eq!(open["currency"], "eur");
    let ready = provider
        .post(
            "/v1/payment_intents",
            &[
                ("amount", "5"),
                ("currency", "eur"),
                ("payment_method", "pm_card_visa"),
            ],
        )
        .await
        .ok();
    assert_eq!(ready["status"], "requires_confirmation");
    let confirmed = provider
        .post(
            &format!("/v1/payment_intents/{}/confirm", id_of(&ready)),
            &[],
        )
        .await
        .ok();
    assert_eq!(
        confirmed["status"], "succeeded",
        "captured at once by default"
    );
    assert_eq!(confirmed["amount_received"], 5);
}

#[tokio::test]
async fn part_of_what_is_held_can_be_captured_and_the_rest_is_let_go() {
    let provider = Provider::start().await;
    let order = order();
    let id = provider.held(&order, 1000).await;
    let path = format!("/v1/payment_intents/{id}/capture");
    let too_much = provider.post(&path, &[("amount_to_capture", "1001")]).await;
    assert_eq!(too_much.refusal(), (400, "amount_too_large"));
    let part = provider
        .post(&path, &[("amount_to_capture", "400")])
        .await
        .ok();
    assert_eq!(part["amount_received"], 400);
    assert_eq!(part["amount_capturable"], 0);
    assert_eq!(provider.ledger(&order).await["totals"]["kept"], 400);
}

#[tokio::test]
async fn a_cancelled_intent_lets_its_money_go_for_good() {
    let provider = Provider::start().await;
    let order = order();
    let id = provider.held(&order, 700).await;
    let cancel = format!("/v1/payment_intents/{id}/cancel");
    let canceled = provider
        .post(&cancel, &[("cancellation_reason", "requested_by_customer")])
        .await
        .ok();
    assert_eq!(canceled["status"], "canceled");
    assert_eq!(canceled["amount_capturable"], 0);
    assert_eq!(canceled["cancellation_reason"], "requested_by_customer");

    let again = provider.post(&cancel, &[]).await;
    assert_eq!(again.refusal(), (400, "payment_intent_unexpected_state"));
    assert_eq!(again.body["error"]["payment_intent"]["status"], "canceled");
    let capture = provider
        .post(&format!("/v1/payment_intents/{id}/capture"), &[])
        .await;
    assert_eq!(capture.refusal(), (400, "payment_intent_unexpected_state"));
    let totals = &provider.ledger(&order).await["totals"];
    assert_eq!(
        (&totals["held"], &totals["captured"]),
        (&json!(0), &json!(0))
    );
}

#[tokio::test]
async fn a_captured_intent_cannot_be_cancelled() {
    let provider = Provider::start().await;
    let id = provider.held(&order(), 700).await;
    provider
        .post(&format!("/v1/payment_intents/{id}/capture"), &[])
        .await
        .ok();
    let cancel = provider
        .post(&format!("/v1/payment_intents/{id}/cancel"), &[])
        .await;
    assert_eq!(cancel.refusal(), (400, "payment_intent_unexpected_state"));
}

#[tokio::test]
async fn capture_and_cancel_at_the_same_moment_have_one_winner() {
    let provider = Provider::start().await;
    for _ in 0..10 {
        let order = order();
        let id = provider.held(&order, 300).await;
        let (capture, cancel) = (
            format!("/v1/payment_intents/{id}/capture"),
            format!("/v1/payment_intents/{id}/cancel"),
        );
        let (captured, canceled) =
            tokio::join!(provider.post(&capture, &[]), provider.post(&cancel, &[]));
        let statuses = [captured.status.as_u16(), canceled.status.as_u16()];
        assert!(
            statuses == [200, 400] || statuses == [400, 200],
            "{statuses:?}"
        );
        let kept = provider.ledger(&order).await["totals"]["kept"].clone();
        assert_eq!(kept, json!(if statuses[0] == 200 { 300 } else { 0 }));
    }
}

#[tokio::test]
async fn two_captures_at_the_same_moment_take_the_money_once() {
    let provider = Provider::start().await;
    let order = order();
    let id = provider.held(&order, 300).await;
    let capture = format!("/v1/payment_intents/{id}/capture");
    let (first, second) = tokio::join!(provider.post(&capture, &[]), provider.post(&capture, &[]));
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    assert_eq!(provider.ledger(&order).await["totals"]["captured"], 300);
}
