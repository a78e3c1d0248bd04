//! What is left of an erased person in the rows of his orders.

use event_schema::customer;
use serde_json::Value;

use crate::testing::stories::{AnOrder, customer as added, partner, product, received};
use crate::testing::{Shop, to};

use super::NAME;

fn erased() -> customer::Event {
    customer::Erased {}.into()
}

#[tokio::test]
async fn orders_of_an_erased_person_keep_lines_and_sums_and_a_rebuild_gives_the_same_rows() {
    let shop = Shop::new().await.open().await;
    let (before, after, other) = (AnOrder::new(), AnOrder::new(), AnOrder::new());
    let after = AnOrder {
        customer: before.customer,
        ..after
    };
    for order in [&before, &after, &other] {
        shop.happens([
            partner(order.partner, "Corner"),
            product(order.product, Some(order.partner), "mug"),
            received(order.product, 5),
        ])
        .await;
    }
    for order in [&before, &other] {
        shop.happens([added(&shop.shop, order.customer, "ada").await])
            .await;
        let placed = order.by_card(&shop.shop).await;
        shop.happens(placed).await;
    }
    // Sealed while the key was there, accepted when the person was erased already: the key opens it still.
    let late = after.by_card(&shop.shop).await;
    shop.catch_up().await;
    let shown = async |order: &AnOrder| shop.ask(&format!("/v1/orders/{}", order.id)).await.body;
    let (known, kept) = (shown(&before).await, shown(&other).await);
    shop.happens([to(before.customer, [erased()])]).await;
    shop.happens(late).await;
    shop.catch_up().await;

    let text = |order: &Value| order.to_string();
    assert_ne!(text(&known), text(&shown(&before).await));
    let rows = shop.shop.rows().await;
    for row in &rows["orders"] {
        let own = row["customer_id"] == before.customer.to_string();
        assert_eq!(row["delivery_address"].is_null(), own, "{row}");
        assert_eq!(row["phone"].is_null(), own, "{row}");
        assert!(row["total"].is_i64() && row["lines"].is_array());
    }
    assert_eq!(text(&kept), text(&shown(&other).await));

    // The same with the key, and without it.
    for destroyed in [false, true] {
        if destroyed {
            shop.shop.vault.destroy(before.customer).await.unwrap();
        }
        for name in [NAME, "customers"] {
            let rebuilt = shop.workshop.rebuild(name, |_| {}).await;
            rebuilt.unwrap();
        }
        assert_eq!(shop.shop.rows().await, rows, "key destroyed: {destroyed}");
    }
}
