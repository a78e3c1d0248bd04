//! kill -9 of the real process at every event of every story, and a fresh process that finishes it.
//!
//! The short form kills once at each batch of each story; `WAYBILL_LONG_TESTS=1` kills three times at each, and also lets
//! the killed process be followed by one that has been running all along.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::time::{Duration, Instant};

use domain::order;
use event_schema::ids::ProductId;
use event_schema::order::{CancelReason, PaymentMethod};
use saga_orchestrator::status::Verdict;
use support::audit::balances;
use support::process::Process;
use support::sandbox::Provider;
use support::shop::{Shop, eventually};
use uuid::Uuid;

/// A kill that comes too late for its place is made again, so often at most.
const AIMS_MAX: usize = 8;
/// From the kill until somebody else is at work again.
const TAKEOVER_MAX: Duration = Duration::from_secs(10);
/// How long the provider takes to answer: room for a kill to hit between two batches.
const ANSWER_AFTER_MS: u32 = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    Completing,
    Declined,
    OutOfStock,
    Cancelled,
    Expired,
}

impl Story {
    /// How many batches the story's saga has.
    fn batches(self) -> usize {
        match self {
            Self::Declined => 2,
            Self::Completing | Self::OutOfStock | Self::Cancelled => 3,
            Self::Expired => 4,
        }
    }

    fn ends(self) -> (Verdict, Option<CancelReason>) {
        match self {
            Self::Completing => (Verdict::Completed, None),
            Self::Declined => (Verdict::Compensated, Some(CancelReason::PaymentDeclined)),
            Self::OutOfStock => (Verdict::Compensated, Some(CancelReason::OutOfStock)),
            Self::Cancelled => (Verdict::Compensated, Some(CancelReason::CustomerCancelled)),
            Self::Expired => (Verdict::Compensated, Some(CancelReason::PaymentExpired)),
        }
    }

    fn method(self) -> PaymentMethod {
        let card = |token: &str| PaymentMethod::Card {
            token: token.into(),
        };
        match self {
            Self::Completing | Self::OutOfStock | Self::Cancelled => card("pm_card_visa"),
            Self::Declined => card("pm_card_visa_chargeDeclined"),
            Self::Expired => PaymentMethod::Checkout,
        }
    }
}

/// One story on a log and a provider of its own.
struct Stage {
    story: Story,
    shop: Shop,
    provider: Provider,
}

impl Stage {
    async fn set(story: Story) -> Self {
        let (mut shop, provider) = (Shop::open().await, Provider::start().await);
        shop.provider_id = "stripe";
        Self {
            story,
            shop,
            provider,
        }
    }

    fn process(&self) -> Process {
        Process::start_with(&self.shop, &self.provider, &[("WAYBILL_TIME_TO_PAY", "1s")])
    }

    /// Places the story's order, with a provider that takes its time.
    async fn place(&self) -> (Uuid, ProductId) {
        let stocked = if self.story == Story::OutOfStock {
            1
        } else {
            5
        };
        let product = self.shop.stocked(stocked).await;
        let order = Uuid::new_v5(&Uuid::NAMESPACE_OID, Uuid::now_v7().as_bytes());
        for operation in ["create", "capture", "cancel", "session", "expire"] {
            self.provider
                .fail_for(order, operation, "delay", 20, ANSWER_AFTER_MS)
                .await;
        }
        self.shop
            .place_as(order, product, 2, self.story.method())
            .await;
        if self.story == Story::Cancelled {
            self.shop.cancel(order).await.unwrap();
        }
        (order, product)
    }

    /// How many batches the order's saga has so far.
    async fn batches(&self, order: Uuid) -> usize {
        let history = self.shop.history(order).await;
        let mut commands: Vec<_> = history
            .iter()
            .map(|event| event.metadata.command_id)
            .collect();
        commands.dedup();
        commands.len()
    }

    /// Kills the process right after so many batches, and has the story finished by whoever follows.
    async fn killed_after(&self, batches: usize, follower: Option<&Process>) {
        let mut hits = Vec::new();
        for _ in 0..AIMS_MAX {
            let victim = self.process();
            eventually("somebody works", async || {
                self.shop.owners().await.values().sum::<usize>() == 16
            })
            .await;
            let (order, product) = self.place().await;
            let began = Instant::now();
            while self.batches(order).await < batches {
                assert!(
                    began.elapsed() < Duration::from_secs(30),
                    "{:?}",
                    self.story
                );
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            victim.kill();
            let killed = Instant::now();
            let at = self.batches(order).await;
            let next = match follower {
                Some(_) => None,
                None => Some(self.process()),
            };
            self.is_finished(order, product, killed).await;
            drop(next);
            hits.push(at);
            if at == batches {
                return;
            }
        }
        panic!(
            "{:?}: no kill hit after batch {batches}, but after {hits:?}",
            self.story
        );
    }

    async fn is_finished(&self, order: Uuid, product: ProductId, killed: Instant) {
        let (verdict, reason) = self.story.ends();
        let shown = self.shop.reaches(order, verdict).await;
        let took = killed.elapsed();
        // The provider's own delays come on top of the takeover.
        assert!(
            took < TAKEOVER_MAX + Duration::from_secs(6),
            "{:?}: {took:?} {shown:?}",
            self.story
        );
        let ledger = self.provider.ledger(order).await;
        let totals = &ledger["totals"];
        let stock = self.shop.stock(product).await;
        match (self.shop.order_state(order).await, reason) {
            (order::State::Confirmed(_), None) => {
                assert_eq!(totals["kept"], 4200, "{ledger:#}");
                assert_eq!(totals["times_captured"], 1, "{ledger:#}");
                assert_eq!((stock.held, stock.sold), (0, 2));
            }
            (order::State::Cancelled(_, call_off), Some(reason)) => {
                assert_eq!(call_off.reason, reason);
                assert_eq!(totals["kept"], 0, "{ledger:#}");
                assert_eq!((stock.held, stock.sold), (0, 0));
            }
            other => panic!("{:?}: {other:?}", self.story),
        }
        assert_eq!(totals["held"], 0, "{ledger:#}");
        let intents = ledger["intents"].as_array().map_or(0, Vec::len);
        assert!(intents <= 1, "{ledger:#}");
        balances(&self.shop, order, product).await;
    }
}

fn long() -> bool {
    std::env::var("WAYBILL_LONG_TESTS").is_ok_and(|value| value == "1")
}

/// Every place of a story, each killed at.
async fn survives_kills_everywhere(story: Story) {
    let stage = Stage::set(story).await;
    let rounds = if long() { 3 } else { 1 };
    for _ in 0..rounds {
        for batches in 1..=story.batches() {
            // The customer's own cancel is a batch too: it is there before anybody works.
            if story == Story::Cancelled && batches == 1 {
                continue;
            }
            stage.killed_after(batches, None).await;
        }
    }
    if long() {
        let follower = stage.process();
        for batches in 2..=story.batches() {
            stage.killed_after(batches, Some(&follower)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completing_order_survives_a_kill_after_each_of_its_events() {
    survives_kills_everywhere(Story::Completing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_order_survives_a_kill_after_each_of_its_events() {
    survives_kills_everywhere(Story::Declined).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_more_than_there_is_survives_a_kill_after_each_of_its_events() {
    survives_kills_everywhere(Story::OutOfStock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_survives_a_kill_after_each_of_its_events() {
    survives_kills_everywhere(Story::Cancelled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_order_survives_a_kill_after_each_of_its_events() {
    survives_kills_everywhere(Story::Expired).await;
}
