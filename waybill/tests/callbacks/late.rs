//! Stale, and long after the end: what is over stays over, and money that arrives then goes back exactly once.

use serde_json::{Value, json};
use testkit::within;

use crate::stage::{Stage, event};

const AUTHORISED: &str = "payment_intent.amount_capturable_updated";

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_comes_late_brings_nothing_back_and_late_money_goes_back_once() {
    let stage = Stage::open().await;
    an_old_failure_after_a_success(&stage).await;
    money_set_aside_after_the_end(&stage).await;
    money_taken_after_the_end(&stage).await;
}

async fn an_old_failure_after_a_success(stage: &Stage) {
    let order = stage.buys("pm_card_visa").await;
    stage.is_paid_once(&order).await;
    let before = stage.saga(&order).await;
    let intent = stage.deployment.ledger(&order).await["intents"][0]["id"].clone();
    for (kind, status) in [
        ("payment_intent.payment_failed", "requires_payment_method"),
        ("payment_intent.canceled", "canceled"),
        ("payment_intent.processing", "processing"),
    ] {
        let object = json!({
            "id": intent, "object": "payment_intent", "amount": 2100, "currency": "eur", "status": status,
            "metadata": {"order_id": order},
        });
        let mut told = event(kind, &object);
        told["created"] = (told["created"].as_i64().unwrap() - 600).into();
        stage.tells(0, &told).await;
        stage.tells(1, &told).await;
        assert!(stage.recorded(&told).await <= 1);
    }
    settled(stage).await;
    assert_eq!(stage.saga(&order).await, before);
    let shown = stage.order(&order).await.unwrap();
    let payment = &shown["payment"]["status"];
    assert_eq!(
        (&shown["status"], payment),
        (&"confirmed".into(), &"captured".into()),
        "{shown}"
    );
    stage.is_paid_once(&order).await;
}

/// A later order has gone through: what was told before has been seen by then.
async fn settled(stage: &Stage) {
    let order = stage.buys("pm_card_visa").await;
    stage.is_paid_once(&order).await;
}

/// An order that was called off because its card was declined.
async fn called_off(stage: &Stage) -> String {
    let order = stage.buys("pm_card_visa_chargeDeclined").await;
    let shown = stage.market.admin.order_ends(&order).await;
    assert_eq!(shown["status_reason"], "payment_declined", "{shown}");
    order
}

/// Delivers it many times, and waits until the provider keeps nothing any more.
async fn is_put_back(stage: &Stage, order: &str, told: &Value) {
    for number in 0..6 {
        stage.tells(number % 2, told).await;
    }
    assert_eq!(stage.recorded(told).await, 1);
    within("the money goes back", || async {
        let totals = stage.deployment.ledger(order).await["totals"].clone();
        (totals["kept"] == 0 && totals["held"] == 0).then_some(())
    })
    .await;
    within("the saga has ended again", || async {
        let saga = stage.saga(order).await;
        let ends = saga.iter().filter(|kind| *kind == "fulfilment.compensated");
        (ends.count() == 2).then_some(())
    })
    .await;
    settled(stage).await;
    let shown = stage.order(order).await.unwrap();
    assert_eq!(shown["status"], "cancelled", "{shown}");
    assert_eq!(shown["status_reason"], "payment_declined", "{shown}");
    // And what the provider tells of that, and what it told before, once more.
    let before = stage.saga(order).await;
    for letter in stage.postbox.letters(order) {
        stage.tells(0, &letter).await;
    }
    settled(stage).await;
    assert_eq!(stage.saga(order).await, before);
    stage.costs(order, 0, None).await;
}

async fn money_set_aside_after_the_end(stage: &Stage) {
    let order = called_off(stage).await;
    let form = [
        ("payment_method", "pm_card_visa"),
        ("return_url", "http://shop.test"),
    ];
    stage.by_hand(&order, "confirm", &form).await;
    let told = stage.postbox.letter(AUTHORISED, &order).await;
    let ledger = stage.deployment.ledger(&order).await;
    assert_eq!(ledger["totals"]["held"], 2100, "{ledger:#}");
    is_put_back(stage, &order, &told).await;
    let ledger = stage.deployment.ledger(&order).await;
    assert_eq!(ledger["totals"]["times_captured"], 0, "let go, not taken");
    assert_eq!(done(&ledger, "cancel"), 1, "{ledger:#}");
}

async fn money_taken_after_the_end(stage: &Stage) {
    let order = called_off(stage).await;
    let form = [
        ("payment_method", "pm_card_visa"),
        ("return_url", "http://shop.test"),
    ];
    stage.by_hand(&order, "confirm", &form).await;
    stage.by_hand(&order, "capture", &[]).await;
    let told = stage
        .postbox
        .letter("payment_intent.succeeded", &order)
        .await;
    let ledger = stage.deployment.ledger(&order).await;
    assert_eq!(ledger["totals"]["kept"], 2100, "{ledger:#}");
    is_put_back(stage, &order, &told).await;
    let ledger = stage.deployment.ledger(&order).await;
    let refunds = ledger["intents"][0]["refunds"].as_array().unwrap();
    assert_eq!(refunds.len(), 1, "{ledger:#}");
}

/// How often the provider has really done something.
fn done(ledger: &Value, operation: &str) -> usize {
    let calls = ledger["calls"].as_array().unwrap().iter();
    let done = calls.filter(|call| {
        call["operation"] == operation && call["status"] == 200 && call["replayed"] == false
    });
    done.count()
}
