//! `waybill seed`: a shop with many of everything, once.

use reqwest::Method;
use serde_json::Value;
use testkit::{Person, Shop, answer, within};

use crate::WAYBILL;

const COUNT: usize = 40;
const LISTS: [&str; 5] = ["customers", "products", "orders", "partners", "resources"];

/// Every row of a list, as it is at the log's end.
async fn rows(shop: &Shop, admin: &Person, list: &str) -> Vec<Value> {
    let end = end_of_log(shop).await;
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/{list}?limit=100{cursor}");
        let ask = admin
            .request(Method::GET, &path)
            .header("Waybill-Min-Position", end)
            .header("Waybill-Wait-Ms", 10_000);
        let page = answer(ask).await.ok();
        rows.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

async fn counts(shop: &Shop, admin: &Person) -> Vec<usize> {
    let mut counts = Vec::new();
    for list in LISTS {
        counts.push(rows(shop, admin, list).await.len());
    }
    counts
}

/// How many events there are.
async fn end_of_log(shop: &Shop) -> u64 {
    let nats = shop.running()["nats_url"].as_str().unwrap().to_owned();
    let client = async_nats::connect(nats).await.unwrap();
    let mut stream = async_nats::jetstream::new(client)
        .get_stream("EVENTS")
        .await
        .unwrap();
    stream.info().await.unwrap().state.last_sequence
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_is_filled_by_the_real_commands_and_filling_it_again_adds_nothing() {
    let mut shop = Shop::start(WAYBILL, &[("WAYBILL_NOTIFIER", "off")]).await;
    let admin = shop.admin();
    let before = counts(&shop, &admin).await;

    // Nothing is seeded by mistake.
    let refused = shop.command(&["seed"]).output().await.unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("--demo") && said.contains("--scale"),
        "{said}"
    );

    // The demo is what `up` has begun with.
    let end = end_of_log(&shop).await;
    shop.operator(&["seed", "--demo"]).await;
    assert_eq!(end_of_log(&shop).await, end);

    let count = COUNT.to_string();
    let seeded = shop
        .command(&["seed", "--scale", &count])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&seeded.stderr).into_owned();
    assert!(seeded.status.success(), "{said}");
    for line in ["partners: 1", "products: 40", "resources: 4", "orders: 40"] {
        assert!(said.contains(line), "{line} in {said}");
    }
    let wanted: Vec<usize> = [COUNT, COUNT, COUNT, 1, COUNT / 10]
        .iter()
        .zip(&before)
        .map(|(added, before)| added + before)
        .collect();
    assert_eq!(counts(&shop, &admin).await, wanted);
    let ended = within("every order has ended", || async {
        let orders = rows(&shop, &admin, "orders").await;
        let ended = |order: &&Value| {
            ["confirmed", "cancelled"].contains(&order["status"].as_str().unwrap())
        };
        (orders.iter().filter(ended).count() == orders.len()).then_some(orders)
    })
    .await;
    let declined = ended.iter().filter(|order| order["status"] == "cancelled");
    assert_eq!(declined.count(), COUNT / 20);

    let end = end_of_log(&shop).await;
    shop.operator(&["seed", "--scale", &count]).await;
    assert_eq!(end_of_log(&shop).await, end, "a second run adds nothing");
    assert_eq!(counts(&shop, &admin).await, wanted);

    // A larger one adds what is missing.
    shop.operator(&["seed", "--scale", "60"]).await;
    assert_eq!(rows(&shop, &admin, "customers").await.len(), wanted[0] + 20);
    shop.stop().await;
}
