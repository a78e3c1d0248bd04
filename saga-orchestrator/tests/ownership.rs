//! Who works what: shares are spread over the living, handed on in order, never left alone for long, and not taken by a
//! build that cannot carry what is alive.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use event_schema::SagaDef;
use event_schema::fulfilment::{Cause, Completed, Event};
use event_schema::order::PaymentMethod;
use futures::TryStreamExt;
use saga_orchestrator::status::Verdict;
use saga_orchestrator::{Share, read_owner};
use support::orchestrator::Orchestrator;
use support::process::Process;
use support::sandbox::Provider;
use support::shop::{Shop, eventually};
use uuid::Uuid;

/// No share may be nobody's for longer.
const UNOWNED_MAX: Duration = Duration::from_secs(10);

async fn shop_and_provider() -> (Shop, Provider) {
    let mut shop = Shop::open().await;
    shop.provider_id = "stripe";
    (shop, Provider::start().await)
}

#[tokio::test]
async fn processes_of_one_name_share_the_work_evenly_as_they_come_and_go() {
    let (shop, provider) = shop_and_provider().await;
    let product = shop.stocked(200).await;
    let first = Process::start(&shop, &provider);
    shop.spread(&[16]).await;
    let second = Process::start(&shop, &provider);
    shop.spread(&[8, 8]).await;
    let third = Process::start(&shop, &provider);
    let three = shop.spread(&[6, 5, 5]).await;
    let order = shop.order(product, 1, "pm_card_visa").await;
    shop.reaches(order, Verdict::Completed).await;

    // One is killed, and nobody waits for it longer than for its silence.
    second.kill();
    let killed = Instant::now();
    let two = shop.spread(&[8, 8]).await;
    assert!(killed.elapsed() < UNOWNED_MAX, "{:?}", killed.elapsed());
    assert!(two.keys().all(|token| three.contains_key(token)), "{two:?}");

    // One ends in order, and nobody waits at all.
    assert!(
        tokio::task::spawn_blocking(move || third.stop())
            .await
            .unwrap()
    );
    let ended = Instant::now();
    shop.spread(&[16]).await;
    assert!(
        ended.elapsed() < Duration::from_secs(5),
        "{:?}",
        ended.elapsed()
    );
    drop(first);
}

#[tokio::test]
async fn while_shares_are_handed_on_every_order_is_paid_once_and_none_waits_long() {
    let (shop, provider) = shop_and_provider().await;
    let product = shop.stocked(1_000).await;
    let _first = Process::start(&shop, &provider);
    shop.spread(&[16]).await;
    let (shop, provider) = (Arc::new(shop), Arc::new(provider));
    let enough = Arc::new(AtomicBool::new(false));
    let buying = tokio::spawn({
        let (shop, enough) = (Arc::clone(&shop), Arc::clone(&enough));
        async move {
            let mut orders = Vec::new();
            while !enough.load(Ordering::SeqCst) {
                orders.push((Instant::now(), shop.order(product, 1, "pm_card_visa").await));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            orders
        }
    });
    let second = Process::start(&shop, &provider);
    shop.spread(&[8, 8]).await;
    let _third = Process::start(&shop, &provider);
    shop.spread(&[6, 5, 5]).await;
    second.kill();
    shop.spread(&[8, 8]).await;
    enough.store(true, Ordering::SeqCst);
    let orders = buying.await.unwrap();
    assert!(orders.len() > 20, "{}", orders.len());
    for (placed, order) in orders {
        let shown = shop.reaches(order, Verdict::Completed).await;
        let history = shop.history(order).await;
        let took = history
            .last()
            .unwrap()
            .recorded_at
            .duration_since(history[0].recorded_at);
        assert!(took.as_secs() < 15, "{took:?} since {placed:?}: {shown:?}");
        let totals = provider.ledger(order).await["totals"].clone();
        assert_eq!(
            (totals["kept"].as_i64(), totals["times_captured"].as_i64()),
            (Some(2100), Some(1)),
            "{totals}"
        );
    }
}

#[tokio::test]
async fn a_frozen_process_is_relieved_and_gets_its_share_of_the_work_again_when_it_wakes() {
    let (shop, provider) = shop_and_provider().await;
    let sleeper = Process::start(&shop, &provider);
    let _other = Process::start(&shop, &provider);
    shop.spread(&[8, 8]).await;
    sleeper.freeze();
    let frozen = Instant::now();
    shop.spread(&[16]).await;
    assert!(frozen.elapsed() < UNOWNED_MAX, "{:?}", frozen.elapsed());
    sleeper.wake();
    shop.spread(&[8, 8]).await;
}

/// How often each process has said that it is alive, by its token.
async fn beats(shop: &Shop) -> BTreeMap<String, u64> {
    let bucket = &shop.buckets.status;
    let keys: Vec<String> = bucket.keys().await.unwrap().try_collect().await.unwrap();
    let mut beats = BTreeMap::new();
    for key in keys {
        if let Some(token) = key.strip_prefix("_instance.")
            && let Some(sign) = bucket.get(&key).await.unwrap()
        {
            let sign: serde_json::Value = serde_json::from_slice(&sign).unwrap();
            beats.insert(token.to_owned(), sign["beats"].as_u64().unwrap());
        }
    }
    beats
}

#[tokio::test]
async fn no_order_waits_for_a_process_that_dies_again_and_again() {
    let (shop, provider) = shop_and_provider().await;
    let product = shop.stocked(100).await;
    let _first = Process::start(&shop, &provider);
    let owner = shop.spread(&[16]).await;
    let (first, _) = owner.first_key_value().unwrap();
    eventually("it has been there for a while", async || {
        beats(&shop)
            .await
            .get(first)
            .is_some_and(|beats| *beats >= 10)
    })
    .await;
    for _ in 0..3 {
        let before = beats(&shop).await;
        let dies = Process::start(&shop, &provider);
        eventually("it is there and would take sagas", async || {
            let beats = beats(&shop).await;
            beats
                .iter()
                .any(|(token, beats)| !before.contains_key(token) && *beats >= 2)
        })
        .await;
        let mut orders = Vec::new();
        for _ in 0..8 {
            orders.push(shop.order(product, 1, "pm_card_visa").await);
        }
        for order in orders {
            shop.reaches(order, Verdict::Completed).await;
        }
        let owners = shop.owners().await;
        let lived = beats(&shop).await;
        let newest = lived.iter().find(|(token, _)| !before.contains_key(*token));
        // A machine that is very busy may have let it live for longer than it should have.
        if newest.is_some_and(|(_, beats)| *beats < 10) {
            assert_eq!(owners, owner);
        }
        dies.kill();
    }
}

fn of_another_build() -> SagaDef {
    SagaDef {
        version: 7,
        digest: "0badc0de".into(),
    }
}

async fn place_for_another_build(shop: &Shop) -> Uuid {
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, Uuid::now_v7().as_bytes());
    let product = shop.stocked(5).await;
    let method = PaymentMethod::Card {
        token: "pm_card_visa".into(),
    };
    shop.place_under(id, product, 1, method, Some(of_another_build()))
        .await
}

#[tokio::test]
async fn a_build_that_cannot_carry_a_live_saga_takes_no_work_and_names_it_until_it_has_ended() {
    let (shop, provider) = shop_and_provider().await;
    let strange = place_for_another_build(&shop).await;
    let waiting = shop.order(shop.stocked(5).await, 1, "pm_card_visa").await;
    let refusing = Process::start(&shop, &provider);
    eventually("it says why it does not work", async || {
        let said = refusing.readiness().await;
        said.is_some_and(|(status, said)| {
            status == 503 && said.contains(&strange.to_string()) && said.contains("7:0badc0de")
        })
    })
    .await;
    assert!(shop.owners().await.is_empty());
    assert_eq!(shop.shown(waiting).await, None);
    eventually("a person finds it among what needs a person", async || {
        let line = shop.attention("version_unsupported", strange).await;
        line.is_some_and(|line| line.contains("7:0badc0de"))
    })
    .await;
    assert_eq!(shop.attention("version_unsupported", waiting).await, None);
    // Whoever began it ends it; then there is nothing in the way any more.
    shop.force(strange, vec![Event::Completed(Completed {})])
        .await;
    shop.spread(&[16]).await;
    shop.reaches(waiting, Verdict::Completed).await;
    eventually("it is ready", async || {
        refusing
            .readiness()
            .await
            .is_some_and(|(status, _)| status == 200)
    })
    .await;
    shop.reaches(strange, Verdict::Completed).await;
    assert_eq!(shop.attention("version_unsupported", strange).await, None);
}

#[tokio::test]
async fn while_a_newer_build_refuses_the_one_that_runs_keeps_all_the_work() {
    let (shop, provider) = shop_and_provider().await;
    let running = Orchestrator::start_as(
        &shop,
        service_kit::payment::ProviderAccount {
            id: "stripe".into(),
            ..provider.account()
        },
        support::orchestrator::settings(),
    );
    let owner = shop.spread(&[16]).await;
    // It meets a saga that it does not carry while it works: that one is set aside, the others go on.
    let strange = place_for_another_build(&shop).await;
    let shown = shop.reaches(strange, Verdict::NeedsOperator).await;
    assert_eq!(shown.cause, Some(Cause::VersionUnsupported));
    assert_eq!(shown.read_by, None, "the next start looks at it again");
    let refusing = Process::start(&shop, &provider);
    eventually("the other one refuses", async || {
        refusing
            .readiness()
            .await
            .is_some_and(|(status, _)| status == 503)
    })
    .await;
    for _ in 0..3 {
        let order = shop.order(shop.stocked(5).await, 1, "pm_card_visa").await;
        shop.reaches(order, Verdict::Completed).await;
    }
    assert_eq!(shop.owners().await, owner);
    // Whoever began it ends it: the one that had set it aside sees so without being followed by anybody.
    shop.force(strange, vec![Event::Completed(Completed {})])
        .await;
    shop.reaches(strange, Verdict::Completed).await;
    assert!(
        shop.owners()
            .await
            .keys()
            .any(|token| owner.contains_key(token))
    );
    drop(running);
}

#[tokio::test]
async fn a_share_says_who_owns_it_and_tells_processes_of_one_name_apart() {
    let (shop, provider) = shop_and_provider().await;
    let _one = Process::start(&shop, &provider);
    let _two = Process::start(&shop, &provider);
    shop.spread(&[8, 8]).await;
    let mut labels = std::collections::BTreeSet::new();
    for share in Share::all() {
        let (_, owner) = read_owner(&shop.buckets.status, share)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(owner.instance, "twin");
        labels.insert(owner.label());
    }
    assert_eq!(labels.len(), 2, "{labels:?}");
}
