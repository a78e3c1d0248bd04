//! The real binary: killed, frozen and woken, ended in order, cut off from the broker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::time::{Duration, Instant};

use event_schema::order::PaymentMethod;
use saga_orchestrator::status::Verdict;
use support::cut::Way;
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

#[tokio::test]
async fn a_process_that_is_cut_off_from_the_broker_but_not_from_the_provider_does_no_harm() {
    let (shop, provider) = shop_and_provider().await;
    let product = shop.stocked(100).await;
    let way = Way::to(&shop.server.url()).await;
    let cut_off = Process::start_at(&way.url, &provider);
    shop.spread(&[16]).await;
    // In the middle of one saga's first call, and of another one's capture.
    let in_flight = shop.order(product, 1, "pm_waybill_slow").await;
    let capturing = Uuid::new_v5(&Uuid::NAMESPACE_OID, Uuid::now_v7().as_bytes());
    provider
        .fail_for(capturing, "capture", "delay", 1, 1_000)
        .await;
    let card = PaymentMethod::Card {
        token: "pm_card_visa".into(),
    };
    shop.place_as(capturing, product, 1, card).await;
    eventually("both calls are under way", async || {
        provider.calls(in_flight, "create").await == 1
            && provider.calls(capturing, "capture").await == 1
    })
    .await;
    way.cut();
    let cut = Instant::now();
    let _other = Process::start(&shop, &provider);
    let mut orders = vec![in_flight, capturing];
    for _ in 0..4 {
        orders.push(shop.order(product, 1, "pm_card_visa").await);
    }
    for order in &orders {
        is_charged_once(&shop, &provider, *order).await;
    }
    // Nobody is without an owner for longer than ten seconds, and what was under way is looked up.
    assert!(
        cut.elapsed() < Duration::from_secs(15),
        "{:?}",
        cut.elapsed()
    );
    let before = lengths(&shop, &orders).await;
    way.mend();
    shop.spread(&[8, 8]).await;
    for _ in 0..4 {
        orders.push(shop.order(product, 1, "pm_card_visa").await);
    }
    for order in &orders {
        is_charged_once(&shop, &provider, *order).await;
    }
    assert_eq!(
        lengths(&shop, &orders[..before.len()]).await,
        before,
        "who was cut off has added to sagas that had ended"
    );
    drop(cut_off);
}

#[tokio::test]
async fn deadlines_survive_everything_being_off_and_each_acts_once_within_ten_seconds_of_the_return()
 {
    let (mut shop, provider) = shop_and_provider().await;
    let product = shop.stocked(100).await;
    let first = Process::start_with(&shop, &provider, &[("WAYBILL_TIME_TO_PAY", "3s")]);
    let mut orders = Vec::new();
    for _ in 0..6 {
        orders.push(shop.checkout(product, 1).await);
    }
    for order in &orders {
        eventually("the page is there", async || {
            shop.payment_state(*order).await.checkout_url.is_some()
        })
        .await;
    }
    let mut until = Vec::new();
    for order in &orders {
        until.push(shop.payment_state(*order).await.action_until.unwrap());
    }
    first.kill();
    shop.server.kill9();
    let last = until.into_iter().max().unwrap();
    eventually("all their times are over", async || {
        event_schema::Timestamp::now() > last
    })
    .await;
    shop = tokio::task::spawn_blocking(move || {
        shop.server.restart().unwrap();
        shop
    })
    .await
    .unwrap();
    let _second = Process::start_with(&shop, &provider, &[("WAYBILL_TIME_TO_PAY", "3s")]);
    let returned = Instant::now();
    for order in &orders {
        shop.reaches(*order, Verdict::Compensated).await;
    }
    assert!(
        returned.elapsed() < Duration::from_secs(10),
        "{:?}",
        returned.elapsed()
    );
    for order in &orders {
        let history = shop.history(*order).await;
        let turns = history
            .iter()
            .filter(|event| event.event_type == "fulfilment.unwinding_began");
        assert_eq!(turns.count(), 1);
    }
}

/// How many events the orders' sagas have.
async fn lengths(shop: &Shop, orders: &[Uuid]) -> Vec<usize> {
    let mut lengths = Vec::with_capacity(orders.len());
    for order in orders {
        lengths.push(shop.history(*order).await.len());
    }
    lengths
}
