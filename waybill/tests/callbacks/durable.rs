//! A 2xx means that it is on disk, whoever dies right afterwards; what cannot be kept is not answered 2xx.

use std::sync::Arc;

use serde_json::json;
use testkit::{Role, within};

use crate::stage::{Stage, blocking, event};

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_was_answered_2xx_is_in_the_log_whoever_dies_and_without_a_broker_there_is_none()
 {
    let mut stage = Stage::open().await;
    the_process_dies_right_after_the_answer(&mut stage).await;
    the_broker_dies_right_after_the_answer(&stage).await;
    the_broker_is_away(&stage).await;
}

async fn the_process_dies_right_after_the_answer(stage: &mut Stage) {
    for replica in [0, 1] {
        let (order, page) = stage.checkout().await;
        stage.pays(&page).await;
        let told = stage
            .postbox
            .letter("checkout.session.completed", &order)
            .await;
        stage.tells(replica, &told).await;
        stage.deployment.kill9(Role::CommandApi, replica).await;
        assert_eq!(stage.recorded(&told).await, 1);
        stage.tells(1 - replica, &told).await;
        assert_eq!(stage.recorded(&told).await, 1, "the repeat is recognised");
        stage.is_paid_once(&order).await;
        stage.deployment.again(Role::CommandApi, replica);
        stage.deployment.ready().await;
    }
}

async fn the_broker_dies_right_after_the_answer(stage: &Stage) {
    let (order, page) = stage.checkout().await;
    stage.pays(&page).await;
    let told = stage
        .postbox
        .letter("checkout.session.completed", &order)
        .await;
    stage.tells(0, &told).await;
    restarted(stage).await;
    assert_eq!(stage.recorded(&told).await, 1);
    stage.is_paid_once(&order).await;
}

async fn the_broker_is_away(stage: &Stage) {
    let (order, page) = stage.checkout().await;
    stage.pays(&page).await;
    let told = stage
        .postbox
        .letter("checkout.session.completed", &order)
        .await;
    let stray = event(
        "payment_intent.succeeded",
        &json!({"id": "pi_x", "metadata": {"order_id": "4711"}}),
    );
    stage.broker.kill9();
    let answers = tokio::join!(
        stage.deliver(0, &told),
        stage.deliver(1, &told),
        stage.deliver(1, &stray),
    );
    for answer in [answers.0, answers.1, answers.2] {
        assert!(answer.asks_for_patience(), "{answer:?}");
        answer.refused(503, "broker_unavailable");
    }
    let broker = Arc::clone(&stage.broker);
    blocking(move || broker.restart().unwrap()).await;
    // The provider comes again, as it does after everything but a 2xx.
    for told in [&told, &stray] {
        within("the callback is accepted", || async {
            let answer = stage.deliver(0, told).await;
            (!answer.asks_for_patience()).then(|| assert_eq!(answer.status, 200, "{answer:?}"))
        })
        .await;
    }
    assert_eq!(stage.recorded(&told).await, 1);
    assert_eq!(stage.strays(&stray).await.len(), 1);
    stage.is_paid_once(&order).await;
}

async fn restarted(stage: &Stage) {
    let broker = Arc::clone(&stage.broker);
    blocking(move || {
        broker.kill9();
        broker.restart().unwrap();
    })
    .await;
}
