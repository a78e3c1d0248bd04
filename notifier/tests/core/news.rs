//! Old news is told to nobody; what was asked for again is.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use domain::order::Order;
use event_schema::ids::OrderId;
use event_schema::notification::{Channel, Kind, Status};
use event_schema::{Timestamp, order};
use notifier::port::{Outcome, Provider};
use serde_json::{Value, json};

use crate::support::notifier::Notifier;
use crate::support::scripted::{Does, KEY, Scripted};
use crate::support::shop::{Shop, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_on_an_existing_log_tells_nothing_of_what_is_in_it() {
    let shop = Shop::open().await;
    let customer = shop.customer().await;
    let partner = shop.partner(None).await;
    let old = shop.place(customer, partner).await;
    let mail = Scripted::new("mail", Channel::Email, KEY);
    let all = [Arc::clone(&mail) as Arc<dyn Provider>];
    let notifier = Notifier::start(&shop, &all);
    shop.led().await;
    // What comes is told: when it has been, everything before it would have been too.
    shop.completes(old).await;
    assert_eq!(shop.settled(old.uuid(), Channel::Email).await, Status::Sent);
    let kinds: Vec<_> = mail.calls().iter().map(|call| call.kind).collect();
    assert_eq!(kinds, [Kind::OrderConfirmed]);
    assert!(shop.messages(customer.uuid()).await.is_empty());
    notifier.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_more_than_a_day_ago_is_old_news_also_for_a_notifier_that_was_away() {
    let shop = Shop::open().await;
    let mail = Scripted::new("mail", Channel::Email, KEY);
    let all = [Arc::clone(&mail) as Arc<dyn Provider>];
    let first = Notifier::start(&shop, &all);
    shop.led().await;
    first.stop().await;
    let customer = shop.customer().await;
    let partner = shop.partner(None).await;
    let order = shop.place(customer, partner).await;
    let ago = |hours: u64| Timestamp::now() - Duration::from_secs(hours * 3600);
    let ready = order::Ready {
        pickup_address: "Corner Street 1".into(),
    };
    shop.happened::<Order>(order.uuid(), vec![ready.into()], ago(25))
        .await;
    let delivered = order::Delivered {};
    shop.happened::<Order>(order.uuid(), vec![delivered.into()], ago(23))
        .await;
    let second = Notifier::start(&shop, &all);
    within("the newer news are told", || async {
        let mut calls = mail.calls().into_iter();
        calls.find(|call| call.kind == Kind::OrderDelivered)
    })
    .await;
    assert!(
        mail.calls()
            .iter()
            .all(|call| call.kind != Kind::OrderReady)
    );
    second.stop().await;
}

async fn replay(shop: &Shop, body: Value, headers: &[(&str, &str)]) -> Value {
    let mut all = HeaderMap::new();
    all.insert("Accept", "application/json");
    for (name, value) in headers {
        all.insert(*name, *value);
    }
    let answer = shop
        .client
        .request_with_headers("notifications.replay", all, body.to_string().into())
        .await
        .unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

async fn prepared(shop: &Shop, order: OrderId, webhook: &Scripted) -> usize {
    shop.settled(order.uuid(), Channel::Webhook).await;
    let calls = webhook.calls().into_iter();
    calls
        .filter(|call| call.order == Some(order.uuid()))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partners_webhooks_are_sent_once_more_by_command_under_the_ids_they_had() {
    let shop = Shop::open().await;
    let webhook = Scripted::new("webhook", Channel::Webhook, KEY);
    let all = [Arc::clone(&webhook) as Arc<dyn Provider>];
    let notifier = Notifier::start(&shop, &all);
    shop.led().await;
    let from = Timestamp::now();
    let customer = shop.customer().await;
    let partner = shop.partner(Some("https://bakery.example/hook")).await;
    let other = shop.partner(Some("https://other.example/hook")).await;
    let mut orders = Vec::new();
    for seller in [partner, partner, other] {
        let order = shop.place(customer, seller).await;
        shop.completes(order).await;
        assert_eq!(prepared(&shop, order, &webhook).await, 1);
        orders.push(order);
    }
    let original = webhook.calls()[0].clone();
    let one = json!({"delivery_id": original.id, "order_id": original.order});
    let command = uuid::Uuid::now_v7().to_string();
    let dry = replay(&shop, one.clone(), &[("Dry-Run", "1")]).await;
    assert_eq!(dry["replayed"], 1);
    let command = [("Command-Id", command.as_str())];
    for _ in 0..2 {
        assert_eq!(replay(&shop, one.clone(), &command).await["replayed"], 1);
    }
    within("the first one is sent again", || async {
        (webhook.calls().len() == 4).then_some(())
    })
    .await;
    assert_eq!(webhook.calls()[3].id, original.id);

    let period = json!({"partner_id": partner, "from": from, "to": Timestamp::now()});
    assert_eq!(replay(&shop, period, &[]).await["replayed"], 2);
    within("both of the partner are sent again", || async {
        (webhook.calls().len() == 6).then_some(())
    })
    .await;
    let of_other = webhook.calls().into_iter();
    let of_other = of_other.filter(|call| call.order == Some(orders[2].uuid()));
    assert_eq!(of_other.count(), 1);
    let nobody = json!({"delivery_id": original.id, "order_id": original.id});
    assert_eq!(replay(&shop, nobody, &[]).await["code"], "not_found");
    assert_eq!(replay(&shop, json!({}), &[]).await["status"], 400);
    notifier.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_gone_is_disabled_and_an_admin_is_told() {
    let shop = Shop::open().await;
    let webhook = Scripted::new("webhook", Channel::Webhook, KEY);
    webhook.does(|_, _| {
        Does::Say(Outcome::Rejected {
            cause: "410".into(),
            gone: true,
        })
    });
    let mail = Scripted::new("mail", Channel::Email, KEY);
    let all = [
        Arc::clone(&webhook) as Arc<dyn Provider>,
        Arc::clone(&mail) as Arc<dyn Provider>,
    ];
    let notifier = Notifier::start(&shop, &all);
    shop.led().await;
    shop.person(event_schema::customer::Role::Admin).await;
    let customer = shop.customer().await;
    let partner = shop.partner(Some("https://bakery.example/hook")).await;
    let order = shop.place(customer, partner).await;
    shop.completes(order).await;
    let status = shop.settled(order.uuid(), Channel::Webhook).await;
    assert_eq!(status, Status::Rejected);
    within("an admin is told", || async {
        let mut calls = mail.calls().into_iter();
        calls.find(|call| call.kind == Kind::WebhookDisabled)
    })
    .await;
    let next = shop.place(customer, partner).await;
    shop.completes(next).await;
    shop.settled(next.uuid(), Channel::Email).await;
    assert_eq!(webhook.calls().len(), 1);
    notifier.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_push_token_is_dropped_and_not_used_again() {
    let shop = Shop::open().await;
    let push = Scripted::new("push", Channel::Push, KEY);
    push.does(|_, _| {
        Does::Say(Outcome::Rejected {
            cause: "unregistered".into(),
            gone: true,
        })
    });
    let all = [Arc::clone(&push) as Arc<dyn Provider>];
    let notifier = Notifier::start(&shop, &all);
    shop.led().await;
    let customer = shop.customer().await;
    shop.reachable(customer).await;
    let partner = shop.partner(None).await;
    let order = shop.place(customer, partner).await;
    let status = shop.settled(order.uuid(), Channel::Push).await;
    assert_eq!(status, Status::Rejected);
    within("the token is forgotten", || async {
        let loaded = shop
            .executor
            .load::<domain::customer::Customer>(customer.uuid(), event_store::Freshness::Leader)
            .await
            .unwrap();
        loaded.state.details()?.push_token.is_none().then_some(())
    })
    .await;
    notifier.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_another_one_is_old_news_too() {
    let shop = Shop::open().await;
    let mail = Scripted::new("mail", Channel::Email, KEY);
    let all = [Arc::clone(&mail) as Arc<dyn Provider>];
    let first = Notifier::start(&shop, &all);
    shop.led().await;
    first.stop().await;
    // The checkpoint is of a log that is not this one any more, as after an import beside buckets that were kept.
    let bucket = async_nats::jetstream::new(shop.client.clone())
        .get_key_value(event_store::topology::NOTIFIER)
        .await
        .unwrap();
    let checkpoint = json!({
        "log": "EVENTS@2020-01-01T00:00:00Z", "position": 0, "open_from": 1, "stragglers": [], "admins": [],
    });
    bucket
        .put("checkpoint", checkpoint.to_string().into())
        .await
        .unwrap();
    let old = shop.customer().await;
    let second = Notifier::start(&shop, &all);
    within("the checkpoint is of this log", || async {
        let entry = bucket.get("checkpoint").await.unwrap()?;
        let now: Value = serde_json::from_slice(&entry).unwrap();
        (now["log"] != checkpoint["log"]).then_some(())
    })
    .await;
    let new = shop.customer().await;
    assert_eq!(shop.settled(new.uuid(), Channel::Email).await, Status::Sent);
    assert!(shop.messages(old.uuid()).await.is_empty());
    second.stop().await;
}
