//! The buckets as they are written, on a real broker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use event_schema::fulfilment::{Cause, Step};
use event_schema::{Position, Timestamp};
use saga_orchestrator::Share;
use saga_orchestrator::status::{Board, SagaStatus, Verdict, complete_to, sweep};
use support::callbacks;
use support::orchestrator::{Orchestrator, settings};
use support::sandbox::Provider;
use support::shop::{Shop, eventually};
use uuid::Uuid;

fn running(order: Uuid, position: u64) -> SagaStatus {
    SagaStatus {
        status: Verdict::Running,
        position,
        ..SagaStatus::unread(order, Timestamp::now())
    }
}

fn owner(shop: &Shop, order: Uuid) -> Board {
    let board = Board::new(shop.buckets.clone());
    board.begin(Share::of(order), Position(0));
    board
}

#[tokio::test]
async fn a_slower_writer_never_brings_back_an_older_position() {
    let shop = Shop::open().await;
    let order = Uuid::now_v7();
    let (slow, fast) = (owner(&shop, order), owner(&shop, order));
    slow.put(running(order, 5));
    slow.flush().await;
    fast.put(SagaStatus {
        status: Verdict::Completed,
        ..running(order, 9)
    });
    fast.flush().await;
    slow.put(running(order, 7));
    slow.flush().await;
    let shown = shop.shown(order).await.unwrap();
    assert_eq!((shown.position, shown.status), (9, Verdict::Completed));
}

#[tokio::test]
async fn a_verdict_holds_since_it_was_first_seen() {
    let shop = Shop::open().await;
    let order = Uuid::now_v7();
    let board = owner(&shop, order);
    let first = Timestamp::from_second(1_700_000_000).unwrap();
    board.put(SagaStatus {
        since: first,
        ..running(order, 5)
    });
    board.flush().await;
    board.put(running(order, 6));
    board.flush().await;
    let shown = shop.shown(order).await.unwrap();
    assert_eq!((shown.position, shown.since), (6, first));
    board.put(SagaStatus {
        status: Verdict::Unwinding,
        ..running(order, 7)
    });
    board.flush().await;
    assert!(shop.shown(order).await.unwrap().since > first);
}

#[tokio::test]
async fn a_saga_that_needs_a_person_is_on_the_list_until_it_does_not() {
    let shop = Shop::open().await;
    let order = Uuid::now_v7();
    let board = owner(&shop, order);
    let key = format!("fulfilment.refund_refused.{order}");
    board.put(SagaStatus {
        status: Verdict::NeedsOperator,
        cause: Some(Cause::RefundRefused),
        step: Some(Step::Refund),
        detail: Some("account_closed: Konto gel\u{f6}scht".into()),
        ..running(order, 5)
    });
    board.flush().await;
    let line = shop.buckets.attention.get(&key).await.unwrap().unwrap();
    assert!(
        line.starts_with(b"refund: account_closed: Konto gel?scht, since "),
        "{line:?}"
    );
    board.put(SagaStatus {
        status: Verdict::Compensated,
        ..running(order, 6)
    });
    board.flush().await;
    assert_eq!(shop.buckets.attention.get(&key).await.unwrap(), None);
}

#[tokio::test]
async fn who_worked_a_saga_last_says_what_he_knows_of_events_although_nothing_has_happened_since() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(5).await;
    let worked = shop.order(product, 1, "pm_card_visa").await;
    let by_this_build = shop.reaches(worked, Verdict::Completed).await.read_by;
    assert!(by_this_build.is_some());

    let order = Uuid::now_v7();
    let by_another = Some("0badc0de".to_owned());
    for read_by in [by_another, by_this_build, None] {
        // Another process each time: what it has written before is not remembered.
        let board = owner(&shop, order);
        board.put(SagaStatus {
            read_by: read_by.clone(),
            ..running(order, 5)
        });
        board.flush().await;
        assert_eq!(shop.shown(order).await.unwrap().read_by, read_by);
    }
}

#[tokio::test]
async fn ended_sagas_leave_after_seven_days_and_the_others_stay() {
    let shop = Shop::open().await;
    let long_ago = Timestamp::now() - Duration::from_secs(8 * 24 * 60 * 60);
    let (old, recent, open) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    for (order, status, since) in [
        (old, Verdict::Completed, long_ago),
        (recent, Verdict::Completed, Timestamp::now()),
        (open, Verdict::Running, long_ago),
    ] {
        let board = owner(&shop, order);
        board.put(SagaStatus {
            status,
            since,
            ..running(order, 5)
        });
        board.flush().await;
    }
    assert_eq!(sweep(&shop.buckets, Timestamp::now()).await.unwrap(), 1);
    assert!(shop.shown(old).await.is_none());
    assert!(shop.shown(recent).await.is_some() && shop.shown(open).await.is_some());
}

#[tokio::test]
async fn the_bucket_says_how_far_it_is_complete() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(5).await;
    let order = shop.order(product, 1, "pm_card_visa").await;
    let shown = shop.reaches(order, Verdict::Completed).await;
    eventually("the share is complete", async || {
        complete_to(&shop.buckets.status, Share::of(order))
            .await
            .unwrap()
            .position
            >= Position(shown.position)
    })
    .await;
}

#[tokio::test]
async fn a_payment_that_stays_unknown_needs_a_person_until_its_callback_comes() {
    let shop = Arc::new(Shop::open().await);
    let url = callbacks::listen(Arc::clone(&shop)).await;
    let provider = Provider::start_with(Some(&url)).await;
    let mut impatient = settings();
    impatient.payment_unknown_budget = Duration::from_millis(300);
    let _orchestrator = Orchestrator::start_as(&shop, provider.account(), impatient);
    let product = shop.stocked(5).await;
    let order = shop.order(product, 2, "pm_waybill_processing").await;
    let shown = shop.reaches(order, Verdict::NeedsOperator).await;
    assert_eq!(shown.cause, Some(Cause::PaymentUnknown));
    shop.reaches(order, Verdict::Completed).await;
    let key = format!("fulfilment.payment_unknown.{order}");
    assert_eq!(shop.buckets.attention.get(&key).await.unwrap(), None);
    assert_eq!(provider.total(order, "times_captured").await, 1);
}
