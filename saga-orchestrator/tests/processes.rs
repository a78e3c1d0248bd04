//! The real binary: killed, frozen and woken, ended in order, cut off from the broker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::time::{Duration, Instant};

use saga_orchestrator::status::Verdict;
use support::process::Process;
use support::sandbox::Provider;
use support::shop::{Shop, eventually};
use uuid::Uuid;

async fn shop_and_provider() -> (Shop, Provider) {
    let mut shop = Shop::open().await;
    // The id of whatever WAYBILL_PAYMENT_URL names.
    shop.provider_id = "stripe";
    (shop, Provider::start().await)
}

async fn is_charged_once(shop: &Shop, provider: &Provider, order: Uuid) {
    shop.reaches(order, Verdict::Completed).await;
    let totals = provider.ledger(order).await["totals"].clone();
    assert_eq!(
        (totals["kept"].as_i64(), totals["times_captured"].as_i64()),
        (Some(2100), Some(1)),
        "{totals}"
    );
}

#[tokio::test]
async fn a_process_that_is_killed_is_followed_by_another_within_ten_seconds() {
    let (shop, provider) = shop_and_provider().await;
    let product = shop.stocked(100).await;
    let first = Process::start(&shop, &provider);
    let warm = shop.order(product, 1, "pm_card_visa").await;
    is_charged_once(&shop, &provider, warm).await;
    let in_flight = shop.order(product, 1, "pm_waybill_slow").await;
    eventually("the call is under way", async || {
        provider.calls(in_flight, "create").await == 1
    })
    .await;
    first.kill();
    let killed = Instant::now();
    let _second = Process::start(&shop, &provider);
    is_charged_once(&shop, &provider, in_flight).await;
    assert!(
        killed.elapsed() < Duration::from_secs(12),
        "{:?}",
        killed.elapsed()
    );
}

#[tokio::test]
async fn a_process_that_is_frozen_and_woken_finds_its_place_taken_and_does_no_harm() {
    let (shop, provider) = shop_and_provider().await;
    let product = shop.stocked(100).await;
    let sleeper = Process::start(&shop, &provider);
    let warm = shop.order(product, 1, "pm_card_visa").await;
    is_charged_once(&shop, &provider, warm).await;
    // Frozen with one call under way, so that it wakes up in the middle of a saga.
    let in_flight = shop.order(product, 1, "pm_waybill_slow").await;
    eventually("the call is under way", async || {
        provider.calls(in_flight, "create").await == 1
    })
    .await;
    sleeper.freeze();
    let frozen = Instant::now();
    let _second = Process::start(&shop, &provider);
    let mut orders = vec![in_flight];
    for _ in 0..8 {
        orders.push(shop.order(product, 1, "pm_card_visa").await);
    }
    for order in &orders {
        is_charged_once(&shop, &provider, *order).await;
    }
    assert!(
        frozen.elapsed() < Duration::from_secs(15),
        "{:?}",
        frozen.elapsed()
    );
    let before: Vec<usize> = lengths(&shop, &orders).await;
    sleeper.wake();
    for _ in 0..8 {
        let order = shop.order(product, 1, "pm_card_visa").await;
        is_charged_once(&shop, &provider, order).await;
    }
    assert_eq!(
        lengths(&shop, &orders).await,
        before,
        "the sleeper has added to sagas that had ended"
    );
    for order in &orders {
        is_charged_once(&shop, &provider, *order).await;
    }
}

#[tokio::test]
async fn a_process_that_is_asked_to_end_ends_well_and_the_next_one_need_not_wait() {
    let (shop, provider) = shop_and_provider().await;
    let product = shop.stocked(100).await;
    let first = Process::start(&shop, &provider);
    let warm = shop.order(product, 1, "pm_card_visa").await;
    is_charged_once(&shop, &provider, warm).await;
    assert!(
        tokio::task::spawn_blocking(move || first.stop())
            .await
            .unwrap()
    );
    let _second = Process::start(&shop, &provider);
    let started = Instant::now();
    let order = shop.order(product, 1, "pm_card_visa").await;
    is_charged_once(&shop, &provider, order).await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_broker_that_dies_and_comes_back_loses_no_order() {
    let (shop, provider) = shop_and_provider().await;
    let product = shop.stocked(100).await;
    let mut orchestrator = Process::start(&shop, &provider);
    let warm = shop.order(product, 1, "pm_card_visa").await;
    is_charged_once(&shop, &provider, warm).await;
    let in_flight = shop.order(product, 1, "pm_waybill_slow").await;
    eventually("the call is under way", async || {
        provider.calls(in_flight, "create").await == 1
    })
    .await;
    let shop = tokio::task::spawn_blocking(move || {
        shop.server.kill9();
        std::thread::sleep(Duration::from_secs(6));
        shop.server.restart().unwrap();
        shop
    })
    .await
    .unwrap();
    is_charged_once(&shop, &provider, in_flight).await;
    let after = shop.order(product, 1, "pm_card_visa").await;
    is_charged_once(&shop, &provider, after).await;
    assert!(orchestrator.is_alive());
}

/// How many events the orders' sagas have.
async fn lengths(shop: &Shop, orders: &[Uuid]) -> Vec<usize> {
    let mut lengths = Vec::with_capacity(orders.len());
    for order in orders {
        lengths.push(shop.history(*order).await.len());
    }
    lengths
}
