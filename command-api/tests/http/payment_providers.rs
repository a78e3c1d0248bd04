//! Payment providers switched off and on, and what that means for orders.

use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::saga;
use crate::shop::{Reply, Shop, by_card};

const PATH: &str = "/v1/payment-providers";

fn sandbox(active: bool, checkout: bool) -> Value {
    json!({"id": "sandbox", "title": "Card", "active": active, "checkout": checkout})
}

async fn set(shop: &Shop, body: &Value) -> Reply {
    shop.admin(Method::PUT, PATH).json(body).send().await
}

#[tokio::test]
async fn a_provider_is_set_and_the_same_again_changes_nothing() {
    let shop = Shop::open().await;
    let first = set(&shop, &sandbox(true, false)).await;
    assert_eq!(first.status, 200, "{first:#?}");
    assert_eq!(first.body, sandbox(true, false));
    assert_eq!(first.header("etag"), "\"1\"");
    let again = set(&shop, &sandbox(true, false)).await;
    assert_eq!(
        (again.status, again.position()),
        (first.status, first.position())
    );
    assert_eq!(shop.types().await, ["payment_provider.set"]);
    let ask = || shop.admin(Method::PUT, PATH).json(&sandbox(true, true));
    ask()
        .header("if-match", "\"0\"")
        .send()
        .await
        .is_problem(412, "stale_version");
    let second = ask().header("if-match", "\"1\"").key("p-2").send().await;
    assert_eq!(second.header("etag"), "\"2\"");
    // A late repeat does not undo what came after it.
    set(&shop, &sandbox(false, true)).await;
    let late = ask().key("p-2").send().await;
    assert_eq!((late.status, &late.body), (second.status, &second.body));
    assert_eq!(
        shop.types()
            .await
            .iter()
            .filter(|kind| *kind == "payment_provider.set")
            .count(),
        3
    );
}

#[tokio::test]
async fn providers_that_the_shop_does_not_have_and_ones_without_a_title_are_refused() {
    let shop = Shop::open().await;
    let mut other = sandbox(true, true);
    other["id"] = json!("stripe");
    set(&shop, &other).await.is_problem(404, "not_found");
    let mut nameless = sandbox(true, true);
    nameless["title"] = json!(" ");
    set(&shop, &nameless).await.names("/title", "required");
    let mut long = sandbox(true, true);
    long["title"] = json!("t".repeat(201));
    set(&shop, &long).await.names("/title", "too_long");
    set(
        &shop,
        &json!({"id": "sandbox", "title": "Card", "active": true}),
    )
    .await
    .names("/checkout", "required");
    assert_eq!(shop.log_end().await, 0);
}

#[tokio::test]
async fn a_provider_that_is_switched_off_takes_no_new_orders_and_those_that_run_go_on() {
    let shop = Shop::open().await;
    let (ada, partner) = (Uuid::now_v7(), shop.selling_partner().await);
    let mug = shop.offered_product(partner, 1999, 10).await;
    let running = shop.quote(ada, partner, mug, 1).await;
    let placed = shop.place(ada, "running", &by_card(running)).await;
    assert_eq!(placed.status, 202, "{placed:#?}");

    set(&shop, &sandbox(false, true)).await;
    let quote = shop.quote(ada, partner, mug, 1).await;
    let on_page = json!({"quote_id": quote, "payment": {"method": "checkout"}});
    let end = shop.log_end().await;
    for (key, body) in [("card", &by_card(quote)), ("page", &on_page)] {
        let refused = shop.place(ada, key, body).await;
        refused.is_problem(409, "provider_inactive");
    }
    assert_eq!(shop.log_end().await, end);
    // What was placed before is recognised, and its money is taken all the same.
    let again = shop.place(ada, "running", &by_card(running)).await;
    assert_eq!((again.status, &again.body), (placed.status, &placed.body));
    saga::authorised(&shop, placed.id()).await;
    saga::captured(&shop, placed.id()).await;
    assert!(shop.types().await.contains(&"order.confirmed".to_owned()));

    // Without its hosted page the provider takes cards; the quote was not used up by the refusals.
    set(&shop, &sandbox(true, false)).await;
    let refused = shop.place(ada, "page-2", &on_page).await;
    refused.is_problem(409, "provider_inactive");
    let taken = shop.place(ada, "card-2", &by_card(quote)).await;
    assert_eq!(taken.status, 202, "{taken:#?}");
}
