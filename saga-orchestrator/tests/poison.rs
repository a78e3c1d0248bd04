//! One bad saga harms nobody else: it is set aside after a few tries, what comes about it is kept in order, and an
//! operator has it taken up again. And long histories, which are not bad at all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use event_schema::Timestamp;
use event_schema::fulfilment::{AttemptEnded, Cause, Completed, Event, Outcome, Step};
use event_schema::ids::{EffectId, OrderId};
use event_schema::order::PaymentMethod;
use saga_orchestrator::status::Verdict;
use support::orchestrator::{Orchestrator, settings};
use support::panicking::Panicking;
use support::sandbox::Provider;
use support::shop::{Shop, eventually};
use uuid::Uuid;

/// A saga that fails is tried so often before it is set aside.
const TRIES: usize = 5;

fn card() -> PaymentMethod {
    PaymentMethod::Card {
        token: "pm_card_visa".into(),
    }
}

fn an_order() -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, Uuid::now_v7().as_bytes())
}

/// A saga whose handling panics, in a shop where others order too.
struct Scene {
    shop: Shop,
    provider: Provider,
    adapter: Arc<Panicking>,
    victim: Uuid,
    orchestrator: Option<Orchestrator>,
}

impl Scene {
    async fn open() -> Self {
        let (shop, provider) = (Shop::open().await, Provider::start().await);
        let victim = an_order();
        let adapter = Arc::new(Panicking::new(provider.adapter(), OrderId(victim)));
        let mut scene = Self {
            shop,
            provider,
            adapter,
            victim,
            orchestrator: None,
        };
        scene.start();
        let product = scene.shop.stocked(5).await;
        scene.shop.place_as(victim, product, 2, card()).await;
        let shown = scene.shop.reaches(victim, Verdict::NeedsOperator).await;
        assert_eq!(shown.cause, Some(Cause::Poisoned));
        scene
    }

    fn start(&mut self) {
        let adapter = Arc::clone(&self.adapter);
        self.orchestrator = Some(Orchestrator::start_with(
            &self.shop,
            self.provider.account(),
            settings(),
            Some(adapter),
        ));
    }

    async fn another_order_goes_through(&self) {
        let product = self.shop.stocked(5).await;
        let order = self.shop.order(product, 1, "pm_card_visa").await;
        self.shop.reaches(order, Verdict::Completed).await;
    }
}

#[tokio::test]
async fn a_saga_whose_handling_panics_is_set_aside_after_a_few_tries_and_the_others_go_on() {
    let scene = Scene::open().await;
    assert_eq!(scene.adapter.struck(), TRIES);
    assert!(
        scene
            .shop
            .attention("poisoned", scene.victim)
            .await
            .is_some()
    );
    scene.another_order_goes_through().await;
    assert_eq!(scene.adapter.struck(), TRIES, "it is left alone");
    let order = scene.victim.to_string();
    let text = scene.shop.ask("saga.explain", &order, false).await.unwrap();
    assert!(text.contains("It is set aside since"), "{text}");
    assert!(text.contains("retry authorise: it would"), "{text}");
    let text = scene.shop.ask("saga.show", &order, false).await.unwrap();
    assert!(
        text.contains("NEEDS OPERATOR") && text.contains("poisoned"),
        "{text}"
    );
}

#[tokio::test]
async fn what_comes_about_a_saga_that_is_set_aside_is_kept_and_an_operator_has_it_taken_up_again() {
    let scene = Scene::open().await;
    // The customer calls the order off meanwhile: accepted at once, and kept.
    scene.shop.cancel(scene.victim).await.unwrap();
    scene.another_order_goes_through().await;
    let shown = scene.shop.shown(scene.victim).await.unwrap();
    assert_eq!(shown.cause, Some(Cause::Poisoned), "{shown:?}");

    // A retry before the bug is repaired ends where it began.
    let order = scene.victim.to_string();
    let why = ("Reason", "let us see");
    scene
        .shop
        .command("retry", &order, &[("Command-Id", "early"), why])
        .await
        .unwrap();
    let before = shown.position;
    eventually("it is set aside again", async || {
        let shown = scene.shop.shown(scene.victim).await.unwrap();
        shown.cause == Some(Cause::Poisoned) && shown.position > before
    })
    .await;
    assert!(scene.adapter.struck() <= 2 * TRIES, "attempts are bounded");

    scene.adapter.repair();
    scene
        .shop
        .command("retry", &order, &[("Command-Id", "now"), why])
        .await
        .unwrap();
    scene.shop.reaches(scene.victim, Verdict::Compensated).await;
    let totals = scene.provider.ledger(scene.victim).await["totals"].clone();
    assert_eq!(
        (totals["kept"].as_i64(), totals["held"].as_i64()),
        (Some(0), Some(0)),
        "{totals}"
    );
    eventually("nobody is needed any more", async || {
        scene
            .shop
            .attention("poisoned", scene.victim)
            .await
            .is_none()
    })
    .await;
}

#[tokio::test]
async fn a_saga_that_was_set_aside_and_has_ended_needs_nobody_although_its_handling_is_still_broken()
 {
    let scene = Scene::open().await;
    let order = scene.victim.to_string();
    let headers = [("Command-Id", "end"), ("Reason", "settled by telephone")];
    scene.shop.command("close", &order, &headers).await.unwrap();
    scene.shop.reaches(scene.victim, Verdict::Closed).await;
    eventually("nobody is needed any more", async || {
        scene
            .shop
            .attention("poisoned", scene.victim)
            .await
            .is_none()
    })
    .await;
    scene.another_order_goes_through().await;
    assert_eq!(scene.adapter.struck(), TRIES, "nothing is tried for it");
    let shown = scene.shop.shown(scene.victim).await.unwrap();
    assert_eq!(shown.status, Verdict::Closed);
}

#[tokio::test]
async fn a_saga_that_was_set_aside_and_that_others_end_is_seen_to_have_ended_without_a_takeover() {
    let scene = Scene::open().await;
    let ended = Event::Completed(Completed {});
    scene.shop.force(scene.victim, vec![ended]).await;
    scene.shop.reaches(scene.victim, Verdict::Completed).await;
    eventually("nobody is needed any more", async || {
        scene
            .shop
            .attention("poisoned", scene.victim)
            .await
            .is_none()
    })
    .await;
    assert_eq!(scene.adapter.struck(), TRIES, "nothing is tried for it");
}

#[tokio::test]
async fn a_saga_that_is_set_aside_and_moves_without_ending_stays_where_it_is() {
    let scene = Scene::open().await;
    long_history(&scene.shop, scene.victim, 3).await;
    scene.another_order_goes_through().await;
    let shown = scene.shop.shown(scene.victim).await.unwrap();
    assert_eq!(shown.cause, Some(Cause::Poisoned), "{shown:?}");
    assert_eq!(scene.adapter.struck(), TRIES, "it is left alone");
}

#[tokio::test]
async fn of_two_operators_who_take_up_one_saga_again_one_wins() {
    let scene = Scene::open().await;
    scene.adapter.repair();
    let order = scene.victim.to_string();
    let why = ("Reason", "it is repaired");
    let (ada, bob) = ([("Command-Id", "ada"), why], [("Command-Id", "bob"), why]);
    let both = tokio::join!(
        scene.shop.command("retry", &order, &ada),
        scene.shop.command("retry", &order, &bob),
    );
    let lost = match both {
        (Ok(_), Err(lost)) | (Err(lost), Ok(_)) => lost,
        other => panic!("{other:?}"),
    };
    assert_eq!(lost.0, "409", "{lost:?}");
    scene.shop.reaches(scene.victim, Verdict::Completed).await;
    assert_eq!(
        scene.provider.total(scene.victim, "times_captured").await,
        1
    );
}

#[tokio::test]
async fn whoever_takes_over_tries_a_saga_that_was_set_aside_as_often_and_no_more() {
    let mut scene = Scene::open().await;
    scene.orchestrator.take().unwrap().stop().await;
    scene.start();
    eventually("it was tried again", async || {
        scene.adapter.struck() == 2 * TRIES
    })
    .await;
    scene.another_order_goes_through().await;
    assert_eq!(scene.adapter.struck(), 2 * TRIES);
    let shown = scene.shop.shown(scene.victim).await.unwrap();
    assert_eq!(shown.cause, Some(Cause::Poisoned));
}

#[tokio::test]
async fn a_history_that_cannot_be_read_is_shown_and_explained_and_commands_about_it_are_refused_with_the_reason()
 {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let broken = an_order();
    shop.publish_garbage(broken).await;
    shop.reaches(broken, Verdict::NeedsOperator).await;
    let text = shop
        .ask("saga.show", &broken.to_string(), false)
        .await
        .unwrap();
    assert!(text.contains("poisoned"), "{text}");
    let text = shop
        .ask("saga.explain", &broken.to_string(), false)
        .await
        .unwrap();
    assert!(
        text.starts_with(&format!(
            "order {broken}   NEEDS OPERATOR\nIts history cannot be read: "
        )),
        "{text}"
    );
    assert!(text.contains("It is set aside since"), "{text}");
    assert!(text.contains("No command can act on it before"), "{text}");
    let headers = [("Command-Id", "x"), ("Reason", "y")];
    let (code, said) = shop
        .command("retry", &broken.to_string(), &headers)
        .await
        .unwrap_err();
    assert_eq!(code, "409", "{said}");
    assert!(
        said.starts_with("poisoned: ") && said.contains("cannot be read"),
        "{said}"
    );
}

/// So many tries that ended as unknown, as a provider's outage of days leaves them behind.
async fn long_history(shop: &Shop, order: Uuid, tries: u32) {
    let effect_id = EffectId::of(OrderId(order), Step::Authorise.as_str(), 1);
    for first in (1..=tries).step_by(200) {
        let ended = |attempt| {
            Event::AttemptEnded(AttemptEnded {
                step: Step::Authorise,
                effect_id,
                attempt,
                outcome: Outcome::Unknown,
                detail: "503: maintenance".into(),
                budget_used_ms: 0,
                deadline: Timestamp::now(),
            })
        };
        let last = (first + 199).min(tries);
        shop.force(order, (first..=last).map(ended).collect()).await;
    }
}

#[tokio::test]
async fn a_saga_with_thousands_of_events_is_resumed_whole() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let product = shop.stocked(5).await;
    let order = shop.place_as(an_order(), product, 2, card()).await;
    long_history(&shop, order, 4_000).await;
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let began = Instant::now();
    shop.reaches(order, Verdict::Completed).await;
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(provider.total(order, "times_captured").await, 1);
    let shown = shop.shown(order).await.unwrap();
    assert!(shown.steps[0].tries > 4_000, "{:?}", shown.steps[0]);
    let text = shop
        .ask("saga.show", &order.to_string(), false)
        .await
        .unwrap();
    assert!(text.contains("COMPLETED"), "{text}");
}
