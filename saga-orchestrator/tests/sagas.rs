//! Whole sagas: real broker, real provider over HTTP, orchestrators that work, die and follow each other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use domain::fulfilment::Rejection;
use domain::order;
use domain::payment::Status;
use event_schema::Timestamp;
use event_schema::fulfilment::Cause;
use event_schema::ids::{EffectId, OrderId};
use event_schema::order::{CancelReason, PaymentMethod};
use saga_orchestrator::provider::{Call, PaymentProvider};
use saga_orchestrator::status::Verdict;
use support::audit::offences;
use support::callbacks;
use support::orchestrator::{Orchestrator, settings};
use support::sandbox::Provider;
use support::shop::{Shop, eur, eventually};
use uuid::Uuid;

fn reason(state: &order::State) -> CancelReason {
    match state {
        order::State::Cancelled(_, call_off) => call_off.reason,
        other => panic!("not cancelled: {other:?}"),
    }
}

/// Everything of a completed order adds up, in the log and at the provider.
async fn is_paid_once(shop: &Shop, provider: &Provider, order: Uuid, amount: i64) {
    assert!(matches!(
        shop.order_state(order).await,
        order::State::Confirmed(_)
    ));
    let totals = provider.ledger(order).await["totals"].clone();
    assert_eq!(totals["captured"], amount, "{totals}");
    assert_eq!(totals["kept"], amount, "{totals}");
    assert_eq!(totals["times_captured"], 1, "{totals}");
    assert_eq!(totals["held"], 0, "{totals}");
}

/// Nothing of a cancelled order is left, in the log and at the provider.
async fn costs_nothing(shop: &Shop, provider: &Provider, order: Uuid, why: CancelReason) {
    assert_eq!(reason(&shop.order_state(order).await), why);
    let totals = provider.ledger(order).await["totals"].clone();
    assert_eq!(
        (totals["kept"].as_i64(), totals["held"].as_i64()),
        (Some(0), Some(0)),
        "{totals}"
    );
}

#[tokio::test]
async fn an_order_with_a_good_card_is_paid_once_and_its_units_are_sold() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(5).await;
    let order = shop.order(product, 2, "pm_card_visa").await;
    let shown = shop.reaches(order, Verdict::Completed).await;
    is_paid_once(&shop, &provider, order, 4200).await;
    let stock = shop.stock(product).await;
    assert_eq!((stock.available, stock.held, stock.sold), (3, 0, 2));
    assert_eq!((shown.money.captured, shown.stock[0].sold), (eur(4200), 2));
    // Three batches: placed, authorised and held, captured and completed; and nothing was asked twice.
    let history = shop.history(order).await;
    let kinds: Vec<&str> = history
        .iter()
        .map(|event| event.event_type.as_str())
        .collect();
    assert_eq!(kinds.len(), 8, "{kinds:?}");
    assert_eq!(
        (
            provider.calls(order, "create").await,
            provider.calls(order, "capture").await
        ),
        (1, 1)
    );
    let caused = &history[2].metadata;
    assert_eq!(caused.causation_id, Some(history[1].event_id));
    assert_eq!(caused.correlation_id, history[0].metadata.correlation_id);
}

#[tokio::test]
async fn an_order_with_a_declined_card_is_cancelled_and_nothing_was_held() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(5).await;
    let order = shop.order(product, 2, "pm_card_visa_chargeDeclined").await;
    let shown = shop.reaches(order, Verdict::Compensated).await;
    assert_eq!(shown.reason.as_deref(), Some("payment_declined"));
    costs_nothing(&shop, &provider, order, CancelReason::PaymentDeclined).await;
    assert_eq!(shop.stock(product).await.available, 5);
}

#[tokio::test]
async fn an_order_of_more_than_there_is_is_cancelled_and_its_money_is_let_go() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(1).await;
    let order = shop.order(product, 2, "pm_card_visa").await;
    let shown = shop.reaches(order, Verdict::Compensated).await;
    costs_nothing(&shop, &provider, order, CancelReason::OutOfStock).await;
    assert_eq!(shop.payment_state(order).await.status, Status::Voided);
    assert_eq!(shop.stock(product).await.available, 1);
    assert_eq!(shown.reason.as_deref(), Some("out_of_stock"));
}

#[tokio::test]
async fn the_last_unit_is_sold_to_one_of_two_orders() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(1).await;
    let orders = [
        shop.order(product, 1, "pm_card_visa").await,
        shop.order(product, 1, "pm_card_visa").await,
    ];
    for order in orders {
        eventually("the saga ends", async || {
            shop.shown(order)
                .await
                .is_some_and(|shown| shown.status.is_end())
        })
        .await;
    }
    let ended = [
        shop.shown(orders[0]).await.unwrap().status,
        shop.shown(orders[1]).await.unwrap().status,
    ];
    assert!(
        ended.contains(&Verdict::Completed) && ended.contains(&Verdict::Compensated),
        "{ended:?}"
    );
    let stock = shop.stock(product).await;
    assert_eq!((stock.available, stock.held, stock.sold), (0, 0, 1));
}

#[tokio::test]
async fn a_customer_who_cancels_while_the_card_is_asked_gets_everything_back() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(5).await;
    let order = shop.order(product, 2, "pm_waybill_slow").await;
    eventually("the call is under way", async || {
        provider.calls(order, "create").await == 1
    })
    .await;
    shop.cancel(order).await.unwrap();
    shop.reaches(order, Verdict::Compensated).await;
    costs_nothing(&shop, &provider, order, CancelReason::CustomerCancelled).await;
    assert_eq!(shop.stock(product).await.available, 5);
}

#[tokio::test]
async fn a_cancel_that_comes_while_the_money_is_taken_is_too_late() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let product = shop.stocked(5).await;
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, Uuid::now_v7().as_bytes());
    provider.fail(id, "capture", "drop_after", 1).await;
    let method = PaymentMethod::Card {
        token: "pm_card_visa".into(),
    };
    let order = shop.place_as(id, product, 2, method).await;
    shop.recorded(order, 5).await;
    assert_eq!(shop.cancel(order).await, Err(Rejection::TooLate));
    shop.reaches(order, Verdict::Completed).await;
    is_paid_once(&shop, &provider, order, 4200).await;
}

#[tokio::test]
async fn an_answer_that_never_comes_is_shown_as_unknown_looked_up_and_charged_once() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(5).await;
    let order = shop.order(product, 2, "pm_waybill_timeout").await;
    eventually("somebody is told that nobody knows", async || {
        shop.history(order).await.iter().any(|event| {
            event.saga.as_ref().and_then(|saga| saga.outcome.as_deref()) == Some("unknown")
        })
    })
    .await;
    shop.reaches(order, Verdict::Completed).await;
    is_paid_once(&shop, &provider, order, 4200).await;
    assert_eq!(provider.calls(order, "create").await, 1);
}

#[tokio::test]
async fn a_failure_that_the_provider_repeats_is_overcome_by_a_new_effect_id() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(5).await;
    let order = shop.order(product, 2, "pm_waybill_5xx_once").await;
    let shown = shop.reaches(order, Verdict::Completed).await;
    is_paid_once(&shop, &provider, order, 4200).await;
    assert!(shown.steps[0].tries >= 2, "{shown:?}");
}

#[tokio::test]
async fn a_provider_that_is_away_is_waited_for_and_nobody_is_called() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let away = service_kit::payment::ProviderAccount {
        url: format!("http://{port}"),
        ..provider.account()
    };
    let first = Orchestrator::start_as(&shop, away, settings());
    let product = shop.stocked(5).await;
    let order = shop.order(product, 2, "pm_card_visa").await;
    shop.recorded(order, 4).await;
    first.stop().await;
    let _second = Orchestrator::start(&shop, &provider);
    shop.reaches(order, Verdict::Completed).await;
    is_paid_once(&shop, &provider, order, 4200).await;
}

#[tokio::test]
async fn a_hosted_checkout_is_confirmed_when_its_callback_comes() {
    let shop = Arc::new(Shop::open().await);
    let url = callbacks::listen(Arc::clone(&shop)).await;
    let provider = Provider::start_with(Some(&url)).await;
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(5).await;
    let order = shop.checkout(product, 2).await;
    eventually("the page is there", async || {
        shop.payment_state(order).await.checkout_url.is_some()
    })
    .await;
    let page = shop.payment_state(order).await.checkout_url.unwrap();
    let waiting = shop.shown(order).await;
    assert!(waiting.is_none_or(|shown| shown.status == Verdict::Running));
    provider.pay(&page, "pm_card_visa").await;
    shop.reaches(order, Verdict::Completed).await;
    is_paid_once(&shop, &provider, order, 4200).await;
}

#[tokio::test]
async fn a_hosted_checkout_that_nobody_pays_is_closed_when_its_time_is_over() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let mut settings = settings();
    settings.time_to_pay = Duration::from_secs(2);
    let _orchestrator = Orchestrator::start_as(&shop, provider.account(), settings);
    let product = shop.stocked(5).await;
    let order = shop.checkout(product, 2).await;
    shop.reaches(order, Verdict::Compensated).await;
    costs_nothing(&shop, &provider, order, CancelReason::PaymentExpired).await;
    assert_eq!(
        provider.ledger(order).await["sessions"][0]["status"],
        "expired"
    );
}

#[tokio::test]
async fn a_checkout_that_was_paid_without_a_callback_is_found_when_its_time_is_over() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let mut settings = settings();
    settings.time_to_pay = Duration::from_secs(3);
    let _orchestrator = Orchestrator::start_as(&shop, provider.account(), settings);
    let product = shop.stocked(5).await;
    let order = shop.checkout(product, 2).await;
    eventually("the page is there", async || {
        shop.payment_state(order).await.checkout_url.is_some()
    })
    .await;
    provider
        .pay(
            &shop.payment_state(order).await.checkout_url.unwrap(),
            "pm_card_visa",
        )
        .await;
    shop.reaches(order, Verdict::Completed).await;
    is_paid_once(&shop, &provider, order, 4200).await;
}

#[tokio::test]
async fn a_deadline_that_passed_while_everything_was_off_is_acted_on_once_after_the_return() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let mut short = settings();
    short.time_to_pay = Duration::from_secs(2);
    let first = Orchestrator::start_as(&shop, provider.account(), short.clone());
    let product = shop.stocked(5).await;
    let order = shop.checkout(product, 2).await;
    eventually("the page is there", async || {
        shop.payment_state(order).await.checkout_url.is_some()
    })
    .await;
    let until = shop.payment_state(order).await.action_until.unwrap();
    first.kill();
    eventually("the time is over", async || {
        event_schema::Timestamp::now() > until
    })
    .await;
    let _second = Orchestrator::start_as(&shop, provider.account(), short);
    let started = std::time::Instant::now();
    shop.reaches(order, Verdict::Compensated).await;
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    costs_nothing(&shop, &provider, order, CancelReason::PaymentExpired).await;
    let ends = shop
        .history(order)
        .await
        .iter()
        .filter(|event| event.event_type == "fulfilment.unwinding_began")
        .count();
    assert_eq!(ends, 1);
}

#[tokio::test]
async fn a_void_that_is_refused_for_good_needs_a_person_who_is_told_at_once() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let mut advisories = shop.client.subscribe("saga.advisory.>").await.unwrap();
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(1).await;
    let order = shop.order(product, 2, "pm_waybill_void_refused").await;
    let shown = shop.reaches(order, Verdict::NeedsOperator).await;
    assert_eq!(shown.cause, Some(Cause::VoidRefused));
    let key = format!("fulfilment.void_refused.{order}");
    let line = String::from_utf8(
        shop.buckets
            .attention
            .get(&key)
            .await
            .unwrap()
            .unwrap()
            .to_vec(),
    )
    .unwrap();
    assert!(
        line.bytes().all(|b| (0x20..0x7f).contains(&b)) && line.contains("since"),
        "{line}"
    );
    let advisory = tokio::time::timeout(
        Duration::from_secs(5),
        futures::StreamExt::next(&mut advisories),
    )
    .await;
    let advisory = advisory.unwrap().unwrap();
    assert_eq!(
        advisory.subject.as_str(),
        format!("saga.advisory.needs_operator.fulfilment.{order}")
    );
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&advisory.payload).unwrap()["cause"],
        "void_refused"
    );
}

/// Before, during and after the call of an intent that is recorded: the authorisation's or the capture's.
async fn survives_a_kill(operation: &str, fault: &str) {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let product = shop.stocked(5).await;
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, Uuid::now_v7().as_bytes());
    provider.fail_for(id, operation, fault, 1, 3_000).await;
    let first = Orchestrator::start(&shop, &provider);
    let method = PaymentMethod::Card {
        token: "pm_card_visa".into(),
    };
    let order = shop.place_as(id, product, 2, method).await;
    eventually("the call has reached the provider", async || {
        provider.calls(order, operation).await > 0
    })
    .await;
    first.kill();
    let before = shop.history(order).await.len();
    let _second = Orchestrator::start(&shop, &provider);
    shop.reaches(order, Verdict::Completed).await;
    is_paid_once(&shop, &provider, order, 4200).await;
    let left = shop.history(order).await.len() - before;
    assert!(
        left > 0,
        "{operation} {fault}: the second one had nothing left to do"
    );
}

#[tokio::test]
async fn an_order_survives_a_kill_before_during_and_after_its_authorisation() {
    tokio::join!(
        survives_a_kill("create", "drop_before"),
        survives_a_kill("create", "delay"),
        survives_a_kill("create", "drop_after"),
    );
}

#[tokio::test]
async fn an_order_survives_a_kill_before_during_and_after_its_capture() {
    tokio::join!(
        survives_a_kill("capture", "drop_before"),
        survives_a_kill("capture", "delay"),
        survives_a_kill("capture", "drop_after"),
    );
}

#[tokio::test]
async fn a_void_survives_a_kill_before_during_and_after_its_call() {
    let voids = async |fault: &'static str| {
        let (shop, provider) = (Shop::open().await, Provider::start().await);
        let product = shop.stocked(1).await;
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, Uuid::now_v7().as_bytes());
        provider.fail_for(id, "cancel", fault, 1, 3_000).await;
        let first = Orchestrator::start(&shop, &provider);
        let method = PaymentMethod::Card {
            token: "pm_card_visa".into(),
        };
        let order = shop.place_as(id, product, 2, method).await;
        eventually("the void is under way", async || {
            provider.calls(order, "cancel").await > 0
        })
        .await;
        first.kill();
        let _second = Orchestrator::start(&shop, &provider);
        shop.reaches(order, Verdict::Compensated).await;
        costs_nothing(&shop, &provider, order, CancelReason::OutOfStock).await;
        assert_eq!(shop.stock(product).await.available, 1);
    };
    tokio::join!(voids("drop_before"), voids("delay"), voids("drop_after"));
}

#[tokio::test]
async fn an_order_that_was_placed_while_nobody_was_there_is_worked_by_whoever_comes() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let product = shop.stocked(5).await;
    let order = shop.order(product, 2, "pm_card_visa").await;
    let _orchestrator = Orchestrator::start(&shop, &provider);
    shop.reaches(order, Verdict::Completed).await;
    is_paid_once(&shop, &provider, order, 4200).await;
}

#[tokio::test]
async fn two_orchestrators_with_one_name_charge_each_order_once() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _one = Orchestrator::start(&shop, &provider);
    let _two = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(100).await;
    let mut orders = Vec::new();
    for _ in 0..20 {
        orders.push(shop.order(product, 1, "pm_card_visa").await);
    }
    for order in orders {
        shop.reaches(order, Verdict::Completed).await;
        is_paid_once(&shop, &provider, order, 2100).await;
    }
    assert_eq!(shop.stock(product).await.sold, 20);
}

#[tokio::test]
async fn an_orchestrator_that_is_killed_is_followed_by_the_other_within_ten_seconds() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let one = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(100).await;
    let warm = shop.order(product, 1, "pm_card_visa").await;
    shop.reaches(warm, Verdict::Completed).await;
    let _two = Orchestrator::start(&shop, &provider);
    one.kill();
    let killed = std::time::Instant::now();
    let orders = [
        shop.order(product, 1, "pm_card_visa").await,
        shop.order(product, 1, "pm_card_visa").await,
    ];
    for order in orders {
        shop.reaches(order, Verdict::Completed).await;
        is_paid_once(&shop, &provider, order, 2100).await;
    }
    assert!(
        killed.elapsed() < Duration::from_secs(10),
        "{:?}",
        killed.elapsed()
    );
}

#[tokio::test]
async fn an_orderly_end_hands_the_shares_over_at_once() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let one = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(100).await;
    let warm = shop.order(product, 1, "pm_card_visa").await;
    shop.reaches(warm, Verdict::Completed).await;
    one.stop().await;
    let _two = Orchestrator::start(&shop, &provider);
    let started = std::time::Instant::now();
    let order = shop.order(product, 1, "pm_card_visa").await;
    shop.reaches(order, Verdict::Completed).await;
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_callback_that_claims_a_success_is_looked_into_and_never_believed() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(5).await;
    let order = shop.checkout(product, 2).await;
    eventually("the page is there", async || {
        shop.payment_state(order).await.checkout_url.is_some()
    })
    .await;
    let before = shop.history(order).await.len();
    let session = shop.payment_state(order).await.session_id;
    let asked = provider.calls(order, "get").await;
    shop.callback(order, success_of(session)).await;
    eventually("the provider is asked", async || {
        provider.calls(order, "get").await > asked
    })
    .await;
    assert_eq!(shop.history(order).await.len(), before);
    assert_eq!(shop.payment_state(order).await.status, Status::Pending);
}

#[tokio::test]
async fn a_success_that_arrives_after_everything_was_put_back_is_let_go_once() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(5).await;
    // The customer cancels while his confirmation is awaited, and our void is told that there was nothing to let go.
    let order = shop.order(product, 2, "pm_card_visa_chargeDeclined").await;
    shop.reaches(order, Verdict::Compensated).await;
    let before = shop.history(order).await.len();
    // Somebody repairs the declined payment at the provider by hand: the very payment is set aside after the end.
    provider.approve_declined(order, "pm_card_visa").await;
    assert_eq!(provider.total(order, "held").await, 4200);
    shop.callback(order, success_of(None)).await;
    eventually("the money is let go", async || {
        provider.total(order, "held").await == 0
    })
    .await;
    shop.recorded(order, before + 4).await;
    costs_nothing(&shop, &provider, order, CancelReason::PaymentDeclined).await;
    assert_eq!(shop.stock(product).await.available, 5);
}

/// An order whose first call was answered with an error that the provider replays, and whose second was declined.
async fn declined_under_a_second_opening(shop: &Shop, provider: &Provider) -> Uuid {
    let product = shop.stocked(5).await;
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, Uuid::now_v7().as_bytes());
    provider.fail(id, "create", "500", 1).await;
    let method = PaymentMethod::Card {
        token: "pm_card_visa_chargeDeclined".into(),
    };
    let order = shop.place_as(id, product, 2, method).await;
    shop.reaches(order, Verdict::Compensated).await;
    let calls = provider.calls(order, "create").await;
    assert_eq!(calls, 3, "the first, its replay, the second opening's");
    order
}

/// What seemed never to have happened under the first opening sets money aside after all.
async fn lands_under_the_first_opening(provider: &Provider, order: Uuid) -> String {
    let effect = EffectId::of(OrderId(order), "authorise", 1);
    let call = Call {
        refusals: 1,
        ..Call::new(OrderId(order), effect, eur(4200), Timestamp::now())
    };
    let stripe = provider.adapter();
    let landed = stripe.create_payment(&call, "pm_card_visa").await;
    landed.unwrap().id
}

#[tokio::test]
async fn a_payment_that_lands_under_an_older_opening_after_the_end_is_let_go() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let order = declined_under_a_second_opening(&shop, &provider).await;
    lands_under_the_first_opening(&provider, order).await;
    assert_eq!(provider.total(order, "held").await, 4200);
    shop.callback(order, success_of(None)).await;
    eventually("the money is let go", async || {
        provider.total(order, "held").await == 0
    })
    .await;
    shop.reaches(order, Verdict::Compensated).await;
}

#[tokio::test]
async fn a_second_late_payment_that_is_told_of_while_the_first_is_let_go_is_let_go_too() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let order = declined_under_a_second_opening(&shop, &provider).await;
    provider.approve_declined(order, "pm_card_visa").await;
    provider.fail(order, "cancel", "drop_before", 4).await;
    shop.callback(order, success_of(None)).await;
    eventually("the first is being let go", async || {
        provider.calls(order, "cancel").await > 0
    })
    .await;
    let second = lands_under_the_first_opening(&provider, order).await;
    let told = domain::payment::RecordCallback {
        provider_payment_id: Some(second),
        ..success_of(None)
    };
    shop.callback(order, told).await;
    assert!(provider.total(order, "held").await >= 4200);
    eventually("all of the money is let go", async || {
        provider.total(order, "held").await == 0
    })
    .await;
    shop.reaches(order, Verdict::Compensated).await;
}

/// An order that was called off because it was sold out, whose money was taken in the provider's dashboard before we let
/// it go: it has to be given back.
async fn to_be_given_back(shop: &Shop, provider: &Provider, token: &str) -> Uuid {
    let product = shop.stocked(1).await;
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, Uuid::now_v7().as_bytes());
    provider.fail(id, "cancel", "drop_before", 3).await;
    let method = PaymentMethod::Card {
        token: token.into(),
    };
    let order = shop.place_as(id, product, 2, method).await;
    eventually("the void is under way", async || {
        provider.calls(order, "cancel").await > 0
    })
    .await;
    provider.capture_by_hand(order).await;
    order
}

#[tokio::test]
async fn a_refund_that_was_on_its_way_for_longer_than_anybody_waits_ends_its_saga_when_it_arrives()
{
    let shop = Arc::new(Shop::open().await);
    let ear = callbacks::listen(shop.clone()).await;
    let provider = Provider::start_settling_after(Some(&ear), Duration::from_secs(12)).await;
    let mut impatient = settings();
    impatient.payment_unknown_budget = Duration::from_secs(3);
    let _orchestrator = Orchestrator::start_as(&shop, provider.account(), impatient);
    let order = to_be_given_back(&shop, &provider, "pm_card_pendingRefund").await;
    let shown = shop.reaches(order, Verdict::NeedsOperator).await;
    assert_eq!(shown.cause, Some(Cause::PaymentUnknown));
    let shown = shop.reaches(order, Verdict::Compensated).await;
    assert_eq!(shown.money.refunded, eur(4200));
    assert_eq!(shop.payment_state(order).await.status, Status::Refunded);
    assert!(shop.attention("payment_unknown", order).await.is_none());
}

#[tokio::test]
async fn a_refund_that_the_bank_returns_after_the_end_is_shown_to_a_person_and_can_be_tried_again()
{
    let shop = Arc::new(Shop::open().await);
    let ear = callbacks::listen(shop.clone()).await;
    let provider = Provider::start_settling_after(Some(&ear), Duration::from_secs(6)).await;
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let order = to_be_given_back(&shop, &provider, "pm_card_refundFail").await;
    shop.reaches(order, Verdict::Compensated).await;
    let shown = shop.reaches(order, Verdict::NeedsOperator).await;
    assert_eq!(shown.cause, Some(Cause::RefundRefused));
    assert_eq!(shown.money.refunded, eur(0));
    let payment = shop.payment_state(order).await;
    assert_eq!(payment.status, Status::RefundPending);
    assert_eq!(provider.total(order, "kept").await, 4200);
    eventually("it is among what needs a person", async || {
        shop.attention("refund_refused", order).await.is_some()
    })
    .await;
    // The same effect again is another refund at the provider.
    let why = ("Reason", "the customer has a new card");
    let headers = [("Command-Id", "once-more"), why];
    let tried = shop.command("retry", &order.to_string(), &headers).await;
    tried.unwrap();
    shop.reaches(order, Verdict::Compensated).await;
    assert_eq!(provider.total(order, "kept").await, 0);
}

#[tokio::test]
async fn money_of_a_completed_order_that_is_given_back_in_the_dashboard_is_in_the_books_and_does_not_balance()
 {
    let shop = Arc::new(Shop::open().await);
    let ear = callbacks::listen(shop.clone()).await;
    let provider = Provider::start_with(Some(&ear)).await;
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(5).await;
    let order = shop.order(product, 2, "pm_card_visa").await;
    shop.reaches(order, Verdict::Completed).await;
    let before = shop.history(order).await.len();
    assert!(provider.refund_by_hand(order).await);
    eventually("it is in the books", async || {
        shop.payment_state(order).await.status == Status::Refunded
    })
    .await;
    let shown = shop.reaches(order, Verdict::Completed).await;
    assert_eq!(shop.history(order).await.len(), before, "{shown:?}");
    let offences = offences(&shop, order, product).await;
    let found: Vec<&str> = offences.iter().map(|found| found.finding.code()).collect();
    assert_eq!(found, ["not_paid"]);
    assert_eq!(shop.stock(product).await.available, 3);
    assert!(matches!(
        shop.order_state(order).await,
        order::State::Confirmed(_)
    ));
}

fn success_of(session_id: Option<String>) -> domain::payment::RecordCallback {
    domain::payment::RecordCallback {
        provider: "sandbox".into(),
        provider_event_id: format!("evt_{}", Uuid::now_v7().simple()),
        kind: "payment_intent.amount_capturable_updated".into(),
        provider_payment_id: None,
        session_id,
        amount: Some(eur(4200)),
        status: Some("requires_capture".into()),
        created_at: event_schema::Timestamp::now(),
    }
}

#[tokio::test]
async fn what_operators_read_is_one_line_of_ascii_with_the_verdict_first() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(1).await;
    // The product's name is not ASCII, and the detail names it.
    let order = shop.order(product, 2, "pm_card_visa").await;
    shop.reaches(order, Verdict::Compensated).await;
    let raw = shop.shown_raw(order).await.unwrap();
    assert!(raw.starts_with(r#"{"status":"compensated","#), "{raw}");
    assert!(raw.bytes().all(|b| (0x20..0x7f).contains(&b)), "{raw}");
    assert!(raw.contains(r"d'\u00e9t\u00e9"), "{raw}");
}

#[tokio::test]
async fn a_saga_whose_history_cannot_be_read_is_set_aside_and_the_others_go_on() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(5).await;
    let broken = Uuid::new_v5(&Uuid::NAMESPACE_OID, Uuid::now_v7().as_bytes());
    shop.publish_garbage(broken).await;
    let shown = shop.reaches(broken, Verdict::NeedsOperator).await;
    assert_eq!(shown.cause, Some(Cause::Poisoned));
    let key = format!("fulfilment.poisoned.{broken}");
    assert!(shop.buckets.attention.get(&key).await.unwrap().is_some());
    let order = shop.order(product, 2, "pm_card_visa").await;
    shop.reaches(order, Verdict::Completed).await;
}

#[tokio::test]
async fn the_desk_lists_and_shows_sagas_as_text_and_as_json_and_says_what_it_does_not_know() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(5).await;
    let order = shop.order(product, 2, "pm_card_visa").await;
    shop.reaches(order, Verdict::Completed).await;

    let text = shop
        .ask("saga.show", &order.to_string(), false)
        .await
        .unwrap();
    assert!(
        text.starts_with(&format!("order {order}   COMPLETED   since")),
        "{text}"
    );
    assert!(
        text.contains("-> 42.00 EUR earned") && text.contains("-> sold"),
        "{text}"
    );
    let json: serde_json::Value = serde_json::from_str(
        &shop
            .ask("saga.show", &order.to_string(), true)
            .await
            .unwrap(),
    )
    .unwrap();
    assert_eq!(json["status"], "completed");
    assert_eq!(json["id"], order.to_string());

    let list = shop.ask("saga.list", "", false).await.unwrap();
    assert!(list.contains(&order.to_string()), "{list}");
    let list = shop
        .ask("saga.list", "needs_operator", false)
        .await
        .unwrap();
    assert_eq!(list, "no sagas\n");
    let json: serde_json::Value = serde_json::from_str(
        &shop
            .ask("saga.list", r#"{"status":"completed"}"#, true)
            .await
            .unwrap(),
    )
    .unwrap();
    assert_eq!(
        (json["total"].as_u64(), json["data"][0]["id"].as_str()),
        (Some(1), Some(order.to_string().as_str()))
    );

    assert_eq!(
        shop.ask("saga.show", &Uuid::nil().to_string(), false)
            .await
            .unwrap_err()
            .0,
        "404"
    );
    assert_eq!(
        shop.ask("saga.show", "nonsense", false)
            .await
            .unwrap_err()
            .0,
        "400"
    );
    assert_eq!(
        shop.ask("saga.list", "sleeping", false)
            .await
            .unwrap_err()
            .0,
        "400"
    );
}
