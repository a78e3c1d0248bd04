//! Before the answer, instead of it, again and again, at two processes at once, and while the order is only just there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::stage::Stage;

const AUTHORISED: &str = "payment_intent.amount_capturable_updated";
/// Sooner than anybody looks after a customer who is on the provider's page by himself.
const BEFORE_THE_FIRST_LOOK: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_before_the_answer_instead_of_it_or_many_times_leads_to_one_charge() {
    let stage = Stage::open().await;
    before_the_answer(&stage).await;
    instead_of_the_answer(&stage).await;
    instead_of_any_answer_for_a_page(&stage).await;
    many_times_at_two_processes_at_once(&stage).await;
    in_the_instant_in_which_the_order_is_accepted(&stage).await;
}

async fn before_the_answer(stage: &Stage) {
    stage.fault("create", "delay", 3_000).await;
    let order = stage.buys("pm_card_visa").await;
    let told = stage.postbox.letter(AUTHORISED, &order).await;
    stage.tells(0, &told).await;
    // The saga does not know of the payment yet: that is what makes it "before".
    assert_eq!(stage.saga(&order).await.len(), 2, "the answer was faster");
    assert_eq!(stage.recorded(&told).await, 1);
    stage.is_paid_once(&order).await;
    assert_eq!(stage.calls(&order, &["create"]).await, 1);
}

async fn instead_of_the_answer(stage: &Stage) {
    // It is done, and nobody hears of it; nor can anybody look it up for a while.
    stage.fault("create", "drop_after", 0).await;
    let order = stage.buys("pm_card_visa").await;
    let told = stage.postbox.letter(AUTHORISED, &order).await;
    stage.tells(1, &told).await;
    stage.is_paid_once(&order).await;
    assert_eq!(
        stage.calls(&order, &["create"]).await,
        1,
        "looked up, not sent again"
    );
}

async fn instead_of_any_answer_for_a_page(stage: &Stage) {
    let (order, page) = stage.checkout().await;
    stage.pays(&page).await;
    let paid = Instant::now();
    let told = stage
        .postbox
        .letter("checkout.session.completed", &order)
        .await;
    stage.tells(0, &told).await;
    stage.is_paid_once(&order).await;
    assert!(
        paid.elapsed() < BEFORE_THE_FIRST_LOOK,
        "somebody looked by himself after {:?}",
        paid.elapsed()
    );
}

async fn many_times_at_two_processes_at_once(stage: &Stage) {
    let (order, page) = stage.checkout().await;
    stage.pays(&page).await;
    let told = stage
        .postbox
        .letter("checkout.session.completed", &order)
        .await;
    let answers = join_all((0..12).map(|number| stage.deliver(number % 2, &told))).await;
    let answers: BTreeSet<_> = answers
        .into_iter()
        .map(|answer| (answer.status.as_u16(), answer.position))
        .collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers.first().map(|answer| answer.0), Some(200));
    assert_eq!(stage.recorded(&told).await, 1, "one event");
    stage.is_paid_once(&order).await;
    // And once more when everything is over, with all that the provider has told meanwhile.
    let before = stage.saga(&order).await;
    for letter in stage.postbox.letters(&order) {
        stage.tells(0, &letter).await;
        stage.tells(1, &letter).await;
        assert!(stage.recorded(&letter).await <= 1, "{letter}");
    }
    stage.is_paid_once(&order).await;
    assert_eq!(stage.saga(&order).await, before);
}

/// An order that one process has just accepted is never unknown to the other.
async fn in_the_instant_in_which_the_order_is_accepted(stage: &Stage) {
    for round in 0..10 {
        let order = {
            let (partner, product) = (&stage.market.partner, &stage.product.id);
            let here = stage.buyer.commanding(round % 2);
            here.buys(partner, product, 1, "pm_card_visa").await
        };
        let object = serde_json::json!({
            "object": "payment_intent", "amount": 2100, "currency": "eur", "status": "requires_payment_method",
            "metadata": {"order_id": order},
        });
        let told = crate::stage::event("payment_intent.payment_failed", &object);
        stage.tells((round + 1) % 2, &told).await;
        assert!(stage.strays(&told).await.is_empty(), "{order} is ours");
        stage.is_paid_once(&order).await;
    }
}
