//! What was answered is still true after everything was restarted.

use dev_servers::Postgres;
use serde_json::json;

use crate::{
    provider::{Provider, answered, card_form, id_of, order},
    receiver::Receiver,
};

#[tokio::test]
async fn a_restart_of_the_sandbox_keeps_money_keys_sessions_and_faults() {
    let provider = Provider::start().await;
    let order = order();
    let form = card_form(&order, "pm_card_visa", "500");
    let intent = provider
        .post_with_key("/v1/payment_intents", "e-1", &form)
        .await
        .ok();
    let session = crate::checkout::open(&provider, &order).await;
    provider
        .order_faults(json!({ "operation": "capture", "kind": "500" }))
        .await;
    let (database, receiver) = provider.stop().await;

    let provider = Provider::start_on(database, receiver, |_| {}).await;
    let again = provider
        .post_with_key("/v1/payment_intents", "e-1", &form)
        .await;
    assert!(again.replayed());
    assert_eq!(again.ok(), intent);
    let read = provider
        .get(&format!("/v1/checkout/sessions/{}", id_of(&session)))
        .await
        .ok();
    assert_eq!(read["status"], "open");
    let capture = format!("/v1/payment_intents/{}/capture", id_of(&intent));
    assert_eq!(
        provider.post(&capture, &[]).await.status,
        500,
        "the fault was waiting"
    );
    provider.post(&capture, &[]).await.ok();
    assert_eq!(provider.ledger(&order).await["totals"]["times_captured"], 1);
}

#[tokio::test]
async fn a_crash_of_the_database_loses_nothing_that_was_answered() {
    let postgres = tokio::task::spawn_blocking(|| Postgres::temporary().unwrap())
        .await
        .unwrap();
    let provider = Provider::start_on(postgres.url(), Receiver::start().await, |_| {}).await;
    let order = order();
    let id = provider.held(&order, 500).await;

    postgres.kill9();
    let away = provider
        .post(&format!("/v1/payment_intents/{id}/capture"), &[])
        .await;
    assert!(away.status.is_server_error(), "{}", away.status);
    assert_eq!(away.body["error"]["type"], "api_error");
    let postgres = tokio::task::spawn_blocking(move || {
        postgres.restart().unwrap();
        postgres
    })
    .await
    .unwrap();

    let captured = crate::provider::until(|| async {
        let answer = provider
            .post(&format!("/v1/payment_intents/{id}/capture"), &[])
            .await;
        (answer.status == 200).then_some(answer.body)
    })
    .await;
    assert_eq!(captured["amount_received"], 500);
    assert_eq!(provider.ledger(&order).await["totals"]["times_captured"], 1);
    drop(provider.stop().await);
    drop(postgres);
}

#[tokio::test]
async fn migrating_twice_and_at_once_is_harmless() {
    let first = Provider::start().await;
    let database = first.database_url.clone();
    let (second, third) = tokio::join!(
        Provider::start_on(database.clone(), first.receiver.clone(), |_| {}),
        Provider::start_on(database, first.receiver.clone(), |_| {}),
    );
    let id = first.held(&order(), 5).await;
    second.get(&format!("/v1/payment_intents/{id}")).await.ok();
    third.get(&format!("/v1/payment_intents/{id}")).await.ok();
}

#[tokio::test]
async fn the_ledger_lives_in_its_own_schema() {
    let provider = Provider::start().await;
    let elsewhere: i64 = sqlx::query_scalar(
        "select count(*) from information_schema.tables
         where table_schema not in ('sandbox', 'pg_catalog', 'information_schema')",
    )
    .fetch_one(&provider.pool)
    .await
    .unwrap();
    assert_eq!(elsewhere, 0);
}

#[tokio::test]
async fn the_service_tells_whether_it_is_alive_and_ready() {
    let provider = Provider::start().await;
    for path in ["/livez", "/readyz"] {
        let answer = answered(provider.client.get(format!("{}{path}", provider.base))).await;
        assert_eq!(answer.status, 200, "{path}");
    }
}
