//! Money given back, never more than was captured.

use serde_json::json;

use crate::provider::{Answered, Provider, id_of, order, until};

async fn captured(provider: &Provider, order: &str, token: &str, amount: i64) -> String {
    let id = id_of(&provider.authorise(order, token, amount).await.ok());
    provider
        .post(&format!("/v1/payment_intents/{id}/capture"), &[])
        .await
        .ok();
    id
}

async fn refund(provider: &Provider, intent: &str, amount: Option<&str>) -> Answered {
    let mut form = vec![("payment_intent", intent), ("metadata[effect_id]", "e-1")];
    form.extend(amount.map(|amount| ("amount", amount)));
    provider.post("/v1/refunds", &form).await
}

/// As the shop asks for it, whose order is named in what is told of the refund.
async fn refund_of(provider: &Provider, order: &str, intent: &str) -> Answered {
    let form = [("payment_intent", intent), ("metadata[order_id]", order)];
    provider.post("/v1/refunds", &form).await
}

#[tokio::test]
async fn a_capture_can_be_given_back_whole() {
    let provider = Provider::start().await;
    let order = order();
    let intent = captured(&provider, &order, "pm_card_visa", 500).await;
    let given = refund(&provider, &intent, None).await.ok();
    assert_eq!(given["object"], "refund");
    assert_eq!(given["status"], "succeeded");
    assert_eq!(given["amount"], 500);
    assert_eq!(given["metadata"]["effect_id"], "e-1");
    assert_eq!(provider.ledger(&order).await["totals"]["kept"], 0);
    let event = provider.receiver.accepts(&order, "charge.refunded").await;
    assert_eq!(event.event["data"]["object"]["amount_refunded"], 500);
    assert_eq!(event.event["data"]["object"]["refunded"], true);

    let again = refund(&provider, &intent, None).await;
    assert_eq!(again.refusal(), (400, "charge_already_refunded"));
    let read = provider
        .get(&format!("/v1/refunds/{}", id_of(&given)))
        .await
        .ok();
    assert_eq!(read, given);
}

#[tokio::test]
async fn parts_can_be_given_back_up_to_what_was_captured() {
    let provider = Provider::start().await;
    let order = order();
    let intent = captured(&provider, &order, "pm_card_visa", 500).await;
    refund(&provider, &intent, Some("200")).await.ok();
    assert_eq!(
        refund(&provider, &intent, Some("301")).await.refusal(),
        (400, "amount_too_large")
    );
    assert_eq!(
        refund(&provider, &intent, Some("0")).await.refusal(),
        (400, "parameter_invalid_integer")
    );
    refund(&provider, &intent, Some("300")).await.ok();
    assert_eq!(
        refund(&provider, &intent, Some("1")).await.refusal(),
        (400, "charge_already_refunded")
    );
    let list = provider
        .get(&format!("/v1/refunds?payment_intent={intent}"))
        .await
        .ok();
    let amounts: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|refund| refund["amount"].clone())
        .collect();
    assert_eq!(amounts, [json!(300), json!(200)], "newest first");
    assert_eq!(provider.ledger(&order).await["totals"]["refunded"], 500);
}

#[tokio::test]
async fn refunds_at_the_same_moment_do_not_exceed_the_capture() {
    let provider = Provider::start().await;
    let order = order();
    let intent = captured(&provider, &order, "pm_card_visa", 500).await;
    let all =
        futures::future::join_all((0..6).map(|_| refund(&provider, &intent, Some("200")))).await;
    let given = all.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(given, 2);
    assert_eq!(provider.ledger(&order).await["totals"]["refunded"], 400);
}

#[tokio::test]
async fn what_was_not_captured_cannot_be_given_back() {
    let provider = Provider::start().await;
    let intent = provider.held(&order(), 500).await;
    assert_eq!(
        refund(&provider, &intent, None).await.refusal(),
        (400, "payment_intent_unexpected_state")
    );
    assert_eq!(
        refund(&provider, "pi_none", None).await.refusal(),
        (400, "resource_missing")
    );
    assert_eq!(
        provider.post("/v1/refunds", &[]).await.refusal(),
        (400, "parameter_missing")
    );
}

#[tokio::test]
async fn a_refund_can_be_refused_for_good() {
    let provider = Provider::start().await;
    let order = order();
    let intent = captured(&provider, &order, "pm_waybill_refund_refused", 500).await;
    assert_eq!(
        refund(&provider, &intent, None).await.refusal(),
        (400, "charge_not_refundable")
    );
    assert_eq!(provider.ledger(&order).await["totals"]["kept"], 500);
}

#[tokio::test]
async fn a_pending_refund_succeeds_later() {
    let provider = Provider::start().await;
    let order = order();
    let intent = captured(&provider, &order, "pm_card_pendingRefund", 500).await;
    let pending = refund_of(&provider, &order, &intent).await.ok();
    assert_eq!(pending["status"], "pending");
    assert_eq!(
        refund(&provider, &intent, None).await.refusal(),
        (400, "charge_already_refunded"),
        "a pending refund counts"
    );
    provider.receiver.accepts(&order, "charge.refunded").await;
    let told = provider.receiver.accepts(&order, "refund.updated").await;
    assert_eq!(told.event["data"]["object"]["status"], "succeeded");
    provider
        .receiver
        .accepts(&order, "charge.refund.updated")
        .await;
    let read = provider
        .get(&format!("/v1/refunds/{}", id_of(&pending)))
        .await
        .ok();
    assert_eq!(read["status"], "succeeded");
}

#[tokio::test]
async fn a_refund_that_fails_later_gives_the_money_back_to_the_shop() {
    let provider = Provider::start().await;
    let order = order();
    let intent = captured(&provider, &order, "pm_card_refundFail", 500).await;
    let given = refund_of(&provider, &order, &intent).await.ok();
    assert_eq!(given["status"], "succeeded");
    let path = format!("/v1/refunds/{}", id_of(&given));
    let failed = until(|| async {
        let read = provider.get(&path).await.ok();
        (read["status"] == "failed").then_some(read)
    })
    .await;
    assert_eq!(failed["failure_reason"], "expired_or_canceled_card");
    for kind in ["refund.failed", "refund.updated", "charge.refund.updated"] {
        let told = provider.receiver.accepts(&order, kind).await;
        let refund = &told.event["data"]["object"];
        assert_eq!(
            (&refund["status"], &refund["payment_intent"]),
            (&"failed".into(), &intent.clone().into())
        );
    }
    assert_eq!(provider.ledger(&order).await["totals"]["kept"], 500);
}
