//! Many messages at once: drained within bounds, the important ones first, none twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::notification::{Intend, Notification};
use event_schema::ids::{CommandId, CustomerId};
use event_schema::notification::{
    AgentVersion, Channel, Intended, Kind, Priority, Recipient, delivery_id,
};
use event_schema::{Actor, Metadata, Timestamp};
use event_store::Stop;
use futures::StreamExt as _;
use notifier::port::{Outcome, Provider};
use uuid::Uuid;

use crate::support::notifier::Notifier;
use crate::support::scripted::{Does, KEY, Scripted};
use crate::support::shop::Shop;

const MESSAGES: usize = 10_000;
/// What a notifier carries at once to persons.
const AT_ONCE_MAX: usize = 192;
/// Seconds where nobody else works; a busy machine needs its time.
const DRAINED_WITHIN: Duration = Duration::from_secs(600);

/// A message to the customer, intended as the notifier does it.
async fn intend(shop: &Shop, customer: CustomerId, priority: Priority) -> Uuid {
    let history = Uuid::now_v7();
    let recipient = Recipient::Customer(customer);
    let intended = Intended {
        delivery_id: delivery_id(history, Channel::Email, recipient),
        event_id: history,
        kind: Kind::CustomerAdded,
        channel: Channel::Email,
        recipient,
        order_id: None,
        about: None,
        agent: AgentVersion {
            name: "account".into(),
            version: 0,
        },
        priority,
        providers: vec!["mail".into()],
        allow_duplicates: false,
        intended_at: Timestamp::now(),
        not_before: None,
        replay_of: None,
    };
    let id = intended.delivery_id.uuid();
    let metadata = Metadata::new(
        CommandId(Uuid::now_v7()),
        Actor::notifier(),
        Timestamp::now(),
    );
    shop.executor
        .execute(metadata, None, |work| {
            work.decide::<Notification>(history, Intend(intended.clone()).into())
                .map_err(Stop::<domain::notification::Rejection>::from)
        })
        .await
        .unwrap();
    id
}

async fn intend_many(shop: &Shop, customer: CustomerId, priority: Priority, many: usize) {
    futures::stream::iter(0..many)
        .for_each_concurrent(200, |_| async {
            intend(shop, customer, priority).await;
        })
        .await;
}

/// The process's resident memory in bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_messages_drain_within_bounds_and_none_is_sent_twice() {
    let shop = Shop::open().await;
    let mail = Scripted::that_takes("mail", Channel::Email, KEY, Duration::from_millis(200));
    mail.does(|_, before| match before % 10 {
        3 => Does::Say(Outcome::Transient {
            cause: "503".into(),
            retry_after: None,
        }),
        7 if before % 20 == 7 => Does::AcceptAndSay(Outcome::Unknown {
            cause: "no_answer".into(),
        }),
        _ => Does::Accept,
    });
    let all = [Arc::clone(&mail) as Arc<dyn Provider>];
    let notifier = Notifier::start(&shop, &all);
    shop.led().await;
    let customer = shop.customer().await;
    let before = memory();
    let begun = Instant::now();
    intend_many(&shop, customer, Priority::Normal, MESSAGES).await;
    let mut most = 0;
    loop {
        most = most.max(memory());
        // And the one that the account itself has led to.
        if mail.out().len() == MESSAGES + 1 {
            break;
        }
        assert!(
            begun.elapsed() < DRAINED_WITHIN,
            "only {} of {MESSAGES} went out",
            mail.out().len()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let grown = most.saturating_sub(before) / (1024 * 1024);
    eprintln!(
        "{MESSAGES} in {:?}, {grown} MiB more at most",
        begun.elapsed()
    );
    assert_eq!(mail.duplicates(), 0);
    assert!(
        mail.most_at_once() <= AT_ONCE_MAX,
        "{}",
        mail.most_at_once()
    );
    assert!(grown < 256, "{grown} MiB");
    notifier.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_important_message_overtakes_thousands_that_are_not() {
    let shop = Shop::open().await;
    let mail = Scripted::that_takes("mail", Channel::Email, KEY, Duration::from_millis(200));
    let all = [Arc::clone(&mail) as Arc<dyn Provider>];
    let notifier = Notifier::start(&shop, &all);
    shop.led().await;
    let customer = shop.customer().await;
    intend_many(&shop, customer, Priority::Low, 3_000).await;
    let urgent = intend(&shop, customer, Priority::High).await;
    let intended = mail.calls().len();
    crate::support::shop::within("the important one is out", || async {
        mail.out().contains_key(&urgent).then_some(())
    })
    .await;
    let calls = mail.calls();
    let place = calls.iter().position(|call| call.id == urgent).unwrap();
    // Nothing but what was being carried already, or was when it was read, goes before it.
    assert!(
        place <= intended + 2 * AT_ONCE_MAX,
        "{place} after {intended}"
    );
    assert!(mail.out().len() < 3_000, "the others still wait");
    notifier.stop().await;
}
