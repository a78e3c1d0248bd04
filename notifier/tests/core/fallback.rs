//! Retries, the next provider, circuits.

use std::sync::Arc;

use event_schema::notification::{Channel, Status};
use notifier::port::{Outcome, Provider, Recovery};

use crate::support::notifier::Notifier;
use crate::support::scripted::{Does, KEY, Scripted};
use crate::support::shop::Shop;

fn away() -> Does {
    Does::Say(Outcome::Transient {
        cause: "503".into(),
        retry_after: None,
    })
}

struct Two {
    shop: Shop,
    first: Arc<Scripted>,
    second: Arc<Scripted>,
    notifier: Notifier,
}

async fn two(recovery: Recovery, does: impl Fn(usize) -> Does + Send + Sync + 'static) -> Two {
    let shop = Shop::open().await;
    let first = Scripted::new("first", Channel::Email, recovery);
    let second = Scripted::new("second", Channel::Email, KEY);
    first.does(move |_, before| does(before));
    let all = [
        Arc::clone(&first) as Arc<dyn Provider>,
        Arc::clone(&second) as Arc<dyn Provider>,
    ];
    let notifier = Notifier::start(&shop, &all);
    shop.led().await;
    Two {
        shop,
        first,
        second,
        notifier,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_is_tried_three_times_before_the_next_one() {
    let two = two(KEY, |_| away()).await;
    let customer = two.shop.customer().await;
    let status = two.shop.settled(customer.uuid(), Channel::Email).await;
    assert_eq!(status, Status::Sent);
    let attempts: Vec<u32> = two.first.calls().iter().map(|call| call.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
    assert_eq!(two.second.calls()[0].attempt, 4);
    assert_eq!(two.second.calls()[0].id, two.first.calls()[0].id);
    let stored = two.shop.stored(customer.uuid()).await;
    assert_eq!(stored.len(), 1 + 4 + 4 + 1);
    two.notifier.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rejected_for_its_address_is_asked_of_nobody_else() {
    let reject = |_| {
        Does::Say(Outcome::Rejected {
            cause: "550".into(),
            gone: false,
        })
    };
    let two = two(KEY, reject).await;
    let customer = two.shop.customer().await;
    let status = two.shop.settled(customer.uuid(), Channel::Email).await;
    assert_eq!(status, Status::Rejected);
    assert_eq!((two.first.calls().len(), two.second.calls().len()), (1, 0));
    two.notifier.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_sent_is_asked_of_nobody_else() {
    let unknown = |_| {
        Does::AcceptAndSay(Outcome::Unknown {
            cause: "no_answer".into(),
        })
    };
    let two = two(Recovery::Nothing, unknown).await;
    let customer = two.shop.customer().await;
    let status = two.shop.settled(customer.uuid(), Channel::Email).await;
    assert_eq!(status, Status::Unknown);
    assert_eq!((two.first.calls().len(), two.second.calls().len()), (1, 0));
    two.notifier.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_again_and_again_is_skipped_for_a_while() {
    let two = two(KEY, |_| away()).await;
    let mut customers = Vec::new();
    for _ in 0..30 {
        customers.push(two.shop.customer().await);
    }
    for customer in customers {
        let status = two.shop.settled(customer.uuid(), Channel::Email).await;
        assert_eq!(status, Status::Sent);
    }
    // Without a circuit each of the thirty would have tried it three times.
    assert!(two.first.calls().len() < 60, "{}", two.first.calls().len());
    let before = two.first.calls().len();
    let late = two.shop.customer().await;
    two.shop.settled(late.uuid(), Channel::Email).await;
    assert_eq!(two.first.calls().len(), before);
    assert_eq!(two.second.out().len(), 31);
    two.notifier.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_reach_an_address_is_passed_over_and_where_nobody_does_it_is_rejected() {
    let shop = Shop::open().await;
    let apps = Scripted::new("apps", Channel::Push, Recovery::Nothing);
    let browsers = Scripted::new("browsers", Channel::Push, Recovery::Nothing);
    apps.reaches("app-");
    browsers.reaches("device-");
    let all = [
        Arc::clone(&apps) as Arc<dyn Provider>,
        Arc::clone(&browsers) as Arc<dyn Provider>,
    ];
    let notifier = Notifier::start(&shop, &all);
    shop.led().await;
    let (customer, partner) = (shop.customer().await, shop.partner(None).await);
    shop.reachable(customer).await;
    let order = shop.place(customer, partner).await;
    let status = shop.settled(order.uuid(), Channel::Push).await;
    assert_eq!(status, Status::Sent);
    assert_eq!(browsers.calls()[0].attempt, 1);
    browsers.reaches("another-");
    let order = shop.place(customer, partner).await;
    let status = shop.settled(order.uuid(), Channel::Push).await;
    assert_eq!(status, Status::Rejected);
    assert_eq!((apps.calls().len(), browsers.calls().len()), (0, 1));
    notifier.stop().await;
}
