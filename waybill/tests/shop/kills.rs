//! Ends of every kind: Ctrl-C, kill -9 in the middle of an order, two starts on one folder.

use testkit::{Program, Shop, within};

use crate::WAYBILL;

/// Processes that have the folder's name in their command line.
fn processes_on(folder: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok())
        .filter(|line| line.contains(folder))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_everything_and_the_data_are_there_the_next_time() {
    let mut shop = Shop::start(WAYBILL, &[]).await;
    let (partner, lamp) = (shop.exported("PARTNER"), shop.exported("LAMP"));
    let customer = shop.customer();
    let order = customer.order(&partner, &lamp, 1, "pm_card_visa").await;
    let before = customer.order_becomes(&order, "confirmed").await;
    let folder = shop.data_dir().display().to_string();
    assert!(!processes_on(&folder).is_empty());
    shop.stop().await;
    assert_eq!(processes_on(&folder), Vec::<String>::new());

    shop.again().await;
    let after = shop
        .customer()
        .get(&format!("/v1/orders/{order}"))
        .await
        .ok();
    assert_eq!(after, before);
    assert_eq!(shop.exported("LAMP"), lamp, "the demo is seeded once");
    let inventory = shop
        .admin()
        .get(&format!("/v1/inventory/{lamp}"))
        .await
        .ok();
    assert_eq!(
        (inventory["received"].as_u64(), inventory["sold"].as_u64()),
        (Some(100), Some(1))
    );
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_killed_in_the_middle_is_finished_by_the_next_start_with_one_charge() {
    let mut shop = Shop::start(WAYBILL, &[]).await;
    let (partner, lamp) = (shop.exported("PARTNER"), shop.exported("LAMP"));
    // The slow card has taken the money long before it answers; kill -9 falls in between.
    let order = shop
        .customer()
        .order(&partner, &lamp, 2, "pm_waybill_slow")
        .await;
    let authorised = || async {
        let ledger = shop.ledger(&order).await;
        (ledger["totals"]["authorised"].as_i64() == Some(3998)).then_some(())
    };
    within("the provider has set the money aside", authorised).await;
    shop.kill9().await;

    shop.again().await;
    let finished = shop.customer().order_becomes(&order, "confirmed").await;
    assert_eq!(finished["payment"]["status"], "captured");
    let ledger = shop.ledger(&order).await;
    assert_eq!(
        ledger["totals"]["times_captured"].as_i64(),
        Some(1),
        "{ledger}"
    );
    assert_eq!(ledger["totals"]["kept"].as_i64(), Some(3998), "{ledger}");
    assert_eq!(
        ledger["intents"].as_array().map(Vec::len),
        Some(1),
        "{ledger}"
    );
    let (admin, path) = (shop.admin(), format!("/v1/inventory/{lamp}"));
    // The rows of stock are written beside those of orders, not with them.
    within("the stock is sold and none is held", || async {
        let inventory = admin.get(&path).await.ok();
        let found = (inventory["held"].as_u64(), inventory["sold"].as_u64());
        (found == (Some(0), Some(2))).then_some(())
    })
    .await;
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_killed_at_any_moment_does_not_stop_the_next() {
    let mut shop = Shop::start(WAYBILL, &[]).await;
    for _ in 0..3 {
        shop.kill9().await;
        shop.again().await;
    }
    let folder = shop.data_dir().display().to_string();
    shop.stop().await;
    assert_eq!(processes_on(&folder), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_shop_on_the_same_folder_is_refused_in_one_line() {
    let mut shop = Shop::start(WAYBILL, &[]).await;
    let mut second = Program::start(shop.command(&[]).env("WAYBILL_HTTP_ADDR", "127.0.0.1:0"));
    assert!(!second.ended().await.success());
    let said = second.said();
    assert!(
        said.contains("another `waybill up` works on the data folder"),
        "{said}"
    );
    shop.stop().await;
}
