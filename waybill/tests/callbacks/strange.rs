//! Forged, or signed and wrong: the first leaves nothing, the second has the provider asked, and the look-up decides.

use event_schema::Timestamp;
use serde_json::{Value, json};
use testkit::within;

use crate::stage::{Stage, event, signed, signed_at};

/// So far may a signature's time be from ours.
const TOLERANCE_SECONDS: i64 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_is_forged_or_wrong_confirms_nothing() {
    let stage = Stage::open().await;
    let (order, page) = stage.checkout().await;
    forged(&stage, &order).await;
    for (amount, currency) in [(1, "eur"), (2_100, "usd"), (999_999, "eur")] {
        wrong_sum(&stage, &order, amount, currency).await;
    }
    wrong_payment(&stage, &order).await;
    another_orders_payment(&stage, &order).await;
    // The same order, when it is really paid.
    stage.pays(&page).await;
    let told = stage
        .postbox
        .letter("checkout.session.completed", &order)
        .await;
    stage.tells(1, &told).await;
    stage.is_paid_once(&order).await;
}

fn success(order: &str, amount: i64, currency: &str) -> Value {
    let object = json!({
        "object": "checkout.session", "amount_total": amount, "currency": currency, "status": "complete",
        "payment_status": "paid", "metadata": {"order_id": order},
    });
    event("checkout.session.completed", &object)
}

async fn forged(stage: &Stage, order: &str) {
    let body = success(order, 2_100, "eur").to_string();
    let now = Timestamp::now().as_second();
    let (early, late) = (now - TOLERANCE_SECONDS - 5, now + TOLERANCE_SECONDS + 60);
    let secret = "whsec_1234";
    let before = stage.log_end().await;
    for signature in [
        None,
        Some(String::new()),
        Some("t=1,v1=00".to_owned()),
        Some(signed_at("whsec_forged", now, &body)),
        Some(signed(&body.replace("2100", "1"))),
        Some(signed_at(secret, early, &body)),
        Some(signed_at(secret, late, &body)),
    ] {
        for replica in [0, 1] {
            let answer = stage.send(replica, &body, signature.as_deref()).await;
            answer.refused(400, "signature_invalid");
        }
    }
    assert_eq!(stage.log_end().await, before, "nothing of it is kept");
}

/// Delivers something signed and wrong: it is recorded, the provider is asked, and the order waits as before.
async fn is_looked_into(stage: &Stage, order: &str, told: &Value) {
    let (asked, saga) = (
        stage.calls(order, &["get", "list"]).await,
        stage.saga(order).await,
    );
    stage.tells(0, told).await;
    stage.tells(1, told).await;
    assert_eq!(stage.recorded(told).await, 1);
    within("the provider is asked", || async {
        (stage.calls(order, &["get", "list"]).await > asked).then_some(())
    })
    .await;
    assert_eq!(stage.saga(order).await, saga, "nothing came of it");
    let shown = stage.order(order).await.unwrap();
    assert_eq!(shown["status"], "pending_payment", "{shown}");
    stage.costs(order, 0, Some(0)).await;
}

async fn wrong_sum(stage: &Stage, order: &str, amount: i64, currency: &str) {
    is_looked_into(stage, order, &success(order, amount, currency)).await;
}

async fn wrong_payment(stage: &Stage, order: &str) {
    let object = json!({
        "id": "pi_of_nobody", "object": "payment_intent", "amount": 2100, "amount_received": 2100, "currency": "eur",
        "status": "succeeded", "metadata": {"order_id": order},
    });
    is_looked_into(stage, order, &event("payment_intent.succeeded", &object)).await;
}

/// Another order is paid, and its callback names this one.
async fn another_orders_payment(stage: &Stage, order: &str) {
    let other = stage.buys("pm_card_visa").await;
    stage.is_paid_once(&other).await;
    let mut told = stage
        .postbox
        .letter("payment_intent.succeeded", &other)
        .await;
    told["id"] = event("", &Value::Null)["id"].clone();
    told["data"]["object"]["metadata"]["order_id"] = order.into();
    is_looked_into(stage, order, &told).await;
    stage.is_paid_once(&other).await;
}
