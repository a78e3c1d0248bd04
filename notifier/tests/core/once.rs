//! At most one message, wherever a process dies, and whoever else is at it.

use std::sync::Arc;
use std::time::Duration;

use event_schema::notification::{Channel, Status};
use notifier::port::{Outcome, Provider, Recovery};

use crate::support::brink::Brink::{self, After, Before};
use crate::support::notifier::{Notifier, Odd};
use crate::support::scripted::{Does, KEY, Scripted};
use crate::support::shop::{Shop, within};

const POINTS: [Brink; 6] = [
    Before("notification.intended"),
    After("notification.intended"),
    Before("notification.attempted"),
    After("notification.attempted"),
    Before("notification.attempt_ended"),
    After("notification.attempt_ended"),
];

fn all(mail: &Arc<Scripted>) -> Vec<Arc<dyn Provider>> {
    vec![Arc::clone(mail) as Arc<dyn Provider>]
}

/// One dies at the point, another one takes over; how the message ended, and how often it went out.
async fn dies_at(point: Brink, recovery: Recovery) -> (Status, u32) {
    let shop = Shop::open().await;
    let mail = Scripted::new("mail", Channel::Email, recovery);
    let first = Notifier::start_at_the_brink(&shop, &all(&mail), point);
    shop.led().await;
    let customer = shop.customer().await;
    first.dies_there().await;
    let second = Notifier::start(&shop, &all(&mail));
    let status = shop.settled(customer.uuid(), Channel::Email).await;
    second.stop().await;
    let times = mail.out().values().sum();
    assert!(times <= 1, "{point:?}: sent {times} times");
    (status, times)
}

async fn dies_everywhere(recovery: Recovery, expected: impl Fn(Brink) -> (Status, u32)) {
    let runs = POINTS.map(|point| async move { (point, dies_at(point, recovery).await) });
    // Most of the time is spent waiting for a dead one's silence to be noticed.
    for (point, ended) in futures::future::join_all(runs).await {
        assert_eq!(ended, expected(point), "{point:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notifier_that_dies_anywhere_sends_once_where_the_provider_keeps_keys() {
    dies_everywhere(KEY, |_| (Status::Sent, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notifier_that_dies_anywhere_sends_once_where_the_provider_can_be_asked() {
    dies_everywhere(Recovery::LookUp, |_| (Status::Sent, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_provider_offers_nothing_what_may_have_been_sent_is_not_sent_again() {
    dies_everywhere(Recovery::Nothing, |point| match point {
        // Nobody can tell whether it went out: here it did not, there it did.
        After("notification.attempted") => (Status::Unknown, 0),
        Before("notification.attempt_ended") => (Status::Unknown, 1),
        _ => (Status::Sent, 1),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_takes_the_message_and_drops_the_answer_has_it_once() {
    for recovery in [KEY, Recovery::LookUp] {
        let shop = Shop::open().await;
        let mail = Scripted::new("mail", Channel::Email, recovery);
        mail.does(|_, before| match before {
            0 => Does::AcceptAndSay(Outcome::Unknown {
                cause: "no_answer".into(),
            }),
            _ => Does::Accept,
        });
        let notifier = Notifier::start(&shop, &all(&mail));
        shop.led().await;
        let customer = shop.customer().await;
        let status = shop.settled(customer.uuid(), Channel::Email).await;
        assert_eq!((status, mail.duplicates()), (Status::Sent, 0));
        assert_eq!(mail.out().len(), 1);
        notifier.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_notifiers_one_leads_and_the_other_takes_over_within_ten_seconds() {
    let shop = Shop::open().await;
    let mail = Scripted::new("mail", Channel::Email, KEY);
    let first = Notifier::start(&shop, &all(&mail));
    shop.led().await;
    let second = Notifier::start(&shop, &all(&mail));
    let early = shop.customer().await;
    shop.settled(early.uuid(), Channel::Email).await;
    first.kill();
    let begun = std::time::Instant::now();
    let late = shop.customer().await;
    assert_eq!(
        shop.settled(late.uuid(), Channel::Email).await,
        Status::Sent
    );
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!((mail.out().len(), mail.duplicates()), (2, 0));
    // An orderly end hands on at once, and what was told is not told again.
    let third = Notifier::start(&shop, &all(&mail));
    second.stop().await;
    let last = shop.customer().await;
    shop.settled(last.uuid(), Channel::Email).await;
    assert_eq!((mail.out().len(), mail.duplicates()), (3, 0));
    assert_eq!(mail.calls().len(), 3);
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_frozen_in_the_middle_of_a_call_changes_nothing_when_it_wakes() {
    let shop = Shop::open().await;
    let mail = Scripted::new("mail", Channel::Email, KEY);
    // The first call hangs, as if its process were frozen in it.
    mail.does(|_, before| {
        if before == 0 {
            Does::AcceptAndHang
        } else {
            Does::Accept
        }
    });
    let sleeper = Notifier::start(&shop, &all(&mail));
    shop.led().await;
    let customer = shop.customer().await;
    within("the call is under way", || async {
        (!mail.calls().is_empty()).then_some(())
    })
    .await;
    sleeper.kill();
    let second = Notifier::start(&shop, &all(&mail));
    assert_eq!(
        shop.settled(customer.uuid(), Channel::Email).await,
        Status::Sent
    );
    let ids: std::collections::BTreeSet<_> = mail.calls().iter().map(|call| call.id).collect();
    assert_eq!((ids.len(), mail.out().len(), mail.duplicates()), (1, 1, 0));
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_broker_is_away_nothing_is_lost_and_nothing_is_sent_twice() {
    let shop = Shop::open().await;
    let mail = Scripted::new("mail", Channel::Email, Recovery::Nothing);
    let notifier = Notifier::start(&shop, &all(&mail));
    shop.led().await;
    let mut customers = Vec::new();
    for _ in 0..20 {
        customers.push(shop.customer().await);
    }
    let server = Arc::clone(&shop.server);
    tokio::task::spawn_blocking(move || server.restart().unwrap())
        .await
        .unwrap();
    for customer in customers {
        let status = shop.settled(customer.uuid(), Channel::Email).await;
        assert_eq!(
            status,
            Status::Sent,
            "what is known is recorded when the log is back"
        );
    }
    assert_eq!((mail.out().len(), mail.duplicates()), (20, 0));
    notifier.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_makes_nobody_send_twice() {
    use service_kit::Clock;
    let shop = Shop::open().await;
    let mail = Scripted::new("mail", Channel::Email, KEY);
    mail.does(|_, before| match before % 3 {
        0 => Does::AcceptAndSay(Outcome::Unknown {
            cause: "no_answer".into(),
        }),
        _ => Does::Accept,
    });
    let clock = Clock::manual(event_schema::Timestamp::now());
    let odd = Odd {
        clock: Some(clock.clone()),
        ..Odd::default()
    };
    let notifier = Notifier::start_odd(&shop, &all(&mail), odd);
    shop.led().await;
    let customer = shop.customer().await;
    within("the first call was made", || async {
        (!mail.calls().is_empty()).then_some(())
    })
    .await;
    clock.advance(Duration::from_secs(6 * 3600));
    assert_eq!(
        shop.settled(customer.uuid(), Channel::Email).await,
        Status::Sent
    );
    assert_eq!((mail.out().len(), mail.duplicates()), (1, 0));
    // A leader whose clock is six hours ahead is followed by one whose clock is right.
    notifier.kill();
    let second = Notifier::start(&shop, &all(&mail));
    let other = shop.customer().await;
    shop.settled(other.uuid(), Channel::Email).await;
    assert_eq!((mail.out().len(), mail.duplicates()), (2, 0));
    second.stop().await;
}
