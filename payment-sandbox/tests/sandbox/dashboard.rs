//! What people do past the shop.

use crate::provider::{Provider, answered, order};

#[tokio::test]
async fn held_money_can_be_taken_by_hand_once_and_the_shop_is_told() {
    let provider = Provider::start().await;
    let order = order();
    provider.held(&order, 500).await;
    let by_hand = || {
        let url = format!("{}/sandbox/capture?order_id={order}", provider.base);
        answered(provider.client.post(url))
    };
    by_hand().await.ok();
    assert_eq!(provider.ledger(&order).await["totals"]["captured"], 500);
    let told = provider
        .receiver
        .accepts(&order, "payment_intent.succeeded");
    told.await;
    assert_eq!(by_hand().await.refusal().0, 400, "nothing is held any more");
    assert_eq!(provider.ledger(&order).await["totals"]["times_captured"], 1);
}
