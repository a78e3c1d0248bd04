//! Every call of every step, broken in every way at the provider: each order ends as its story says, with one charge or
//! none, and the provider's own books show that the fault struck. The same for the refund with the process killed.
//!
//! The table of steps and faults is gone through without a provider in `domain/src/fulfilment/stories/faults.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::time::Duration;

use event_schema::ids::ProductId;
use event_schema::order::PaymentMethod;
use futures::future::join_all;
use saga_orchestrator::status::Verdict;
use serde_json::Value;
use support::audit::balances;
use support::orchestrator::{Orchestrator, settings};
use support::sandbox::{ANSWER_DEADLINE, Provider};
use support::shop::{Shop, eventually};
use uuid::Uuid;

const FAULTS: [&str; 6] = [
    "500",
    "500_after",
    "429",
    "drop_before",
    "drop_after",
    "delay",
];
/// Longer than anybody waits for an answer.
const DELAY: Duration = ANSWER_DEADLINE.saturating_mul(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    Completing,
    OutOfStock,
    Expired,
    /// Sold out, and somebody takes the money in the provider's dashboard before it is let go.
    TakenAfterAll,
}

/// Each call that the shop makes, and a story in which it makes it.
const CALLS: [(&str, Story); 6] = [
    ("create", Story::Completing),
    ("capture", Story::Completing),
    ("cancel", Story::OutOfStock),
    ("refund", Story::TakenAfterAll),
    ("session", Story::Expired),
    ("expire", Story::Expired),
];

async fn shop_and_provider() -> (Shop, Provider) {
    (Shop::open().await, Provider::start().await)
}

/// Places the story's order, with the fault ordered beforehand.
async fn place(
    shop: &Shop,
    provider: &Provider,
    story: Story,
    operation: &str,
    fault: &str,
) -> (Uuid, ProductId) {
    let order = Uuid::new_v5(&Uuid::NAMESPACE_OID, Uuid::now_v7().as_bytes());
    let delay_ms = u32::try_from(DELAY.as_millis()).unwrap();
    provider
        .fail_for(order, operation, fault, 1, delay_ms)
        .await;
    let sold_out = matches!(story, Story::OutOfStock | Story::TakenAfterAll);
    let product = shop.stocked(if sold_out { 1 } else { 5 }).await;
    if story == Story::TakenAfterAll {
        provider.fail(order, "cancel", "drop_before", 2).await;
    }
    let method = match story {
        Story::Expired => PaymentMethod::Checkout,
        Story::Completing | Story::OutOfStock | Story::TakenAfterAll => PaymentMethod::Card {
            token: "pm_card_visa".into(),
        },
    };
    shop.place_as(order, product, 2, method).await;
    if story == Story::TakenAfterAll {
        eventually("the void is under way", async || {
            provider.calls(order, "cancel").await > 0
        })
        .await;
        provider.capture_by_hand(order).await;
    }
    (order, product)
}

/// It ended as its story says, with the money and the units where they belong.
async fn ends_well(
    shop: &Shop,
    provider: &Provider,
    story: Story,
    (order, product): (Uuid, ProductId),
) -> Value {
    let completes = story == Story::Completing;
    let verdict = match completes {
        true => Verdict::Completed,
        false => Verdict::Compensated,
    };
    shop.reaches(order, verdict).await;
    let ledger = provider.ledger(order).await;
    let totals = &ledger["totals"];
    assert_eq!(totals["held"], 0, "{story:?} {ledger:#}");
    assert_eq!(
        totals["kept"],
        if completes { 4200 } else { 0 },
        "{story:?} {ledger:#}"
    );
    let charges = u32::from(completes || story == Story::TakenAfterAll);
    assert_eq!(totals["times_captured"], charges, "{story:?} {ledger:#}");
    let refunds = ledger["intents"][0]["refunds"]
        .as_array()
        .map_or(0, Vec::len);
    assert_eq!(
        refunds,
        usize::from(story == Story::TakenAfterAll),
        "{ledger:#}"
    );
    let stock = shop.stock(product).await;
    assert_eq!((stock.held, stock.sold), (0, if completes { 2 } else { 0 }));
    balances(shop, order, product).await;
    ledger
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_that_is_broken_in_any_way_at_the_provider_is_made_up_for() {
    let (shop, provider) = shop_and_provider().await;
    let mut short = settings();
    short.time_to_pay = Duration::from_secs(6);
    let _orchestrator = Orchestrator::start_as(&shop, provider.account(), short);
    shop.spread(&[16]).await;
    let all = CALLS.into_iter().flat_map(|(operation, story)| {
        FAULTS.map(|fault| {
            let (shop, provider) = (&shop, &provider);
            async move {
                let placed = place(shop, provider, story, operation, fault).await;
                let ledger = ends_well(shop, provider, story, placed).await;
                let calls = ledger["calls"].as_array().unwrap();
                let struck = calls
                    .iter()
                    .filter(|call| call["operation"] == operation && call["fault"] == fault);
                assert_eq!(
                    struck.count(),
                    1,
                    "{operation} {fault} has not happened: {calls:#?}"
                );
            }
        })
    });
    join_all(all).await;
}

/// The orchestrator dies as soon as its broken refund call is seen; says how many events its successor wrote.
async fn killed_at_the_refund(fault: &str) -> usize {
    let (shop, provider) = shop_and_provider().await;
    let first = Orchestrator::start(&shop, &provider);
    let story = Story::TakenAfterAll;
    let placed = place(&shop, &provider, story, "refund", fault).await;
    eventually("the refund is under way", async || {
        provider.calls(placed.0, "refund").await > 0
    })
    .await;
    first.kill();
    let before = shop.history(placed.0).await.len();
    let _second = Orchestrator::start(&shop, &provider);
    ends_well(&shop, &provider, story, placed).await;
    shop.history(placed.0).await.len() - before
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_survives_a_kill_before_during_and_after_its_call() {
    const TRIES: usize = 10;
    // On a quick machine the first one may be through before the kill: such a round shows nothing and is run again.
    let killed_in = async |fault: &'static str| {
        for _ in 0..TRIES {
            if killed_at_the_refund(fault).await > 0 {
                return;
            }
        }
        panic!("{fault}: in {TRIES} rounds the second one never had anything left to do");
    };
    tokio::join!(
        killed_in("drop_before"),
        killed_in("delay"),
        killed_in("drop_after")
    );
}
