//! The promises of an Idempotency-Key.

use serde_json::json;

use crate::provider::{Provider, answered, card_form, id_of, order, until};

#[tokio::test]
async fn the_same_request_under_the_same_key_is_answered_again_and_done_once() {
    let provider = Provider::start().await;
    let order = order();
    let form = card_form(&order, "pm_card_visa", "500");
    let first = provider
        .post_with_key("/v1/payment_intents", "effect-1", &form)
        .await;
    assert!(!first.replayed());
    let mut shuffled = form.clone();
    shuffled.reverse();
    let second = provider
        .post_with_key("/v1/payment_intents", "effect-1", &shuffled)
        .await;
    assert!(second.replayed());
    assert_eq!(
        second.headers["original-request"],
        first.headers["request-id"]
    );
    assert_eq!(first.ok(), second.ok());

    let ledger = provider.ledger(&order).await;
    assert_eq!(ledger["intents"].as_array().unwrap().len(), 1);
    assert_eq!(ledger["totals"]["authorised"], 500);
    let calls: Vec<_> = ledger["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| {
            (
                call["idempotency_key"].clone(),
                call["status"].clone(),
                call["replayed"].clone(),
            )
        })
        .collect();
    assert_eq!(
        calls,
        [
            (json!("effect-1"), json!(200), json!(false)),
            (json!("effect-1"), json!(200), json!(true)),
        ]
    );
}

#[tokio::test]
async fn a_decline_and_a_refused_transition_are_remembered_too() {
    let provider = Provider::start().await;
    let order = order();
    let form = card_form(&order, "pm_card_visa_chargeDeclined", "500");
    let first = provider
        .post_with_key("/v1/payment_intents", "effect-2", &form)
        .await;
    let second = provider
        .post_with_key("/v1/payment_intents", "effect-2", &form)
        .await;
    assert_eq!(second.refusal(), (402, "card_declined"));
    assert!(second.replayed());
    assert_eq!(first.body, second.body);
    assert_eq!(
        provider.ledger(&order).await["intents"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    let id = provider.held(&order, 10).await;
    let path = format!("/v1/payment_intents/{id}/capture");
    provider
        .post(&format!("/v1/payment_intents/{id}/cancel"), &[])
        .await
        .ok();
    assert_eq!(
        provider.post_with_key(&path, "capture-1", &[]).await.status,
        400
    );
    assert!(
        provider
            .post_with_key(&path, "capture-1", &[])
            .await
            .replayed()
    );
}

#[tokio::test]
async fn another_request_under_the_same_key_is_an_idempotency_error() {
    let provider = Provider::start().await;
    let order = order();
    provider
        .post_with_key(
            "/v1/payment_intents",
            "effect-3",
            &card_form(&order, "pm_card_visa", "500"),
        )
        .await
        .ok();
    let other_amount = provider
        .post_with_key(
            "/v1/payment_intents",
            "effect-3",
            &card_form(&order, "pm_card_visa", "501"),
        )
        .await;
    assert_eq!(other_amount.status, 400);
    assert_eq!(other_amount.body["error"]["type"], "idempotency_error");
    let other_path = provider
        .post_with_key("/v1/refunds", "effect-3", &[("payment_intent", "pi_1")])
        .await;
    assert_eq!(other_path.body["error"]["type"], "idempotency_error");
    assert_eq!(provider.ledger(&order).await["totals"]["authorised"], 500);
}

#[tokio::test]
async fn a_refused_parameter_leaves_the_key_free() {
    let provider = Provider::start().await;
    let order = order();
    let bad = provider
        .post_with_key(
            "/v1/payment_intents",
            "effect-4",
            &card_form(&order, "pm_card_visa", "0"),
        )
        .await;
    assert_eq!(bad.status, 400);
    let good = provider
        .post_with_key(
            "/v1/payment_intents",
            "effect-4",
            &card_form(&order, "pm_card_visa", "5"),
        )
        .await;
    assert!(!good.replayed());
    good.ok();
}

#[tokio::test]
async fn a_request_whose_key_is_being_worked_on_is_409_and_the_key_is_not_stuck() {
    let provider = Provider::start().await;
    let order = order();
    let id = provider.held(&order, 500).await;
    // Somebody sits on the intent, so the first capture cannot end.
    let mut blocker = service_kit::postgres::begin(&provider.pool).await.unwrap();
    sqlx::query("select 1 from sandbox.payment_intents where id = $1 for update")
        .bind(&id)
        .execute(&mut *blocker)
        .await
        .unwrap();
    let path = format!("/v1/payment_intents/{id}/capture");
    let first = tokio::spawn(answered(
        provider
            .post_request(&path, &[])
            .header("Idempotency-Key", "capture-2"),
    ));
    until(|| async {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%payment_intents%for update%' and datname = current_database()",
        )
        .fetch_one(&provider.pool)
        .await
        .unwrap();
        (waiting > 0).then_some(())
    })
    .await;
    let second = provider.post_with_key(&path, "capture-2", &[]).await;
    assert_eq!(second.refusal(), (409, "idempotency_key_in_use"));
    blocker.rollback().await.unwrap();
    assert_eq!(first.await.unwrap().ok()["status"], "succeeded");
    assert!(
        provider
            .post_with_key(&path, "capture-2", &[])
            .await
            .replayed()
    );
    assert_eq!(provider.ledger(&order).await["totals"]["times_captured"], 1);
}

#[tokio::test]
async fn many_at_once_under_one_key_charge_once() {
    let provider = Provider::start().await;
    let order = order();
    let form = card_form(&order, "pm_card_visa", "500");
    let all = futures::future::join_all(
        (0..12).map(|_| provider.post_with_key("/v1/payment_intents", "effect-5", &form)),
    )
    .await;
    let mut ids: Vec<String> = Vec::new();
    for answer in all {
        match answer.status.as_u16() {
            200 => ids.push(id_of(&answer.body)),
            409 => assert_eq!(answer.refusal().1, "idempotency_key_in_use"),
            other => panic!("{other}: {}", answer.body),
        }
    }
    assert!(!ids.is_empty());
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(
        provider.ledger(&order).await["intents"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    let provider = Provider::start().await;
    let order = order();
    let form = card_form(&order, "pm_card_visa", "500");
    let first = provider
        .post_with_key("/v1/payment_intents", "effect-6", &form)
        .await
        .ok();
    sqlx::query("update sandbox.idempotency_keys set created_at = created_at - interval '24 hours 1 second'")
        .execute(&provider.pool)
        .await
        .unwrap();
    let second = provider
        .post_with_key("/v1/payment_intents", "effect-6", &form)
        .await;
    assert!(!second.replayed());
    assert_ne!(id_of(&first), id_of(&second.ok()));
}
