//! Messages as they are tried, and end.

use event_schema::Timestamp;
use event_schema::ids::{CustomerId, DeliveryId, PartnerId};
use event_schema::notification::{
    AgentVersion, AttemptEnded, Attempted, Channel, Event, Intended, Kind, Outcome, Priority,
    Recipient, Settled, Status, delivery_id,
};
use serde_json::{Value, json};
use service_kit::Role;
use uuid::Uuid;

use crate::testing::{Open, Shop, to};

const PATH: &str = "/v1/notification-deliveries";

fn intended(order: Option<Uuid>, channel: Channel, recipient: Recipient) -> Intended {
    let event_id = Uuid::now_v7();
    Intended {
        delivery_id: delivery_id(event_id, channel, recipient),
        event_id,
        kind: Kind::OrderConfirmed,
        channel,
        recipient,
        order_id: order.map(Into::into),
        about: None,
        agent: AgentVersion {
            name: "orders".into(),
            version: 0,
        },
        priority: Priority::High,
        providers: vec!["smtp".into(), "resend".into()],
        allow_duplicates: false,
        intended_at: Timestamp::now(),
        not_before: None,
        replay_of: None,
    }
}

fn attempted(id: DeliveryId, attempt: u32, provider: &str) -> Event {
    let attempted = Attempted {
        delivery_id: id,
        attempt,
        provider: provider.into(),
        at: Timestamp::now(),
    };
    attempted.into()
}

fn ended(id: DeliveryId, attempt: u32, provider: &str, outcome: Outcome) -> AttemptEnded {
    AttemptEnded {
        delivery_id: id,
        attempt,
        provider: provider.into(),
        outcome,
        provider_id: None,
        cause: None,
        retry_at: None,
        next_provider: None,
    }
}

fn settled(id: DeliveryId, status: Status) -> Event {
    let settled = Settled {
        delivery_id: id,
        status,
        cause: None,
    };
    settled.into()
}

/// A message that one provider did not take and another did.
async fn sent_by_the_second(shop: &Open, order: Uuid, who: Uuid) -> DeliveryId {
    let intended = intended(
        Some(order),
        Channel::Email,
        Recipient::Customer(CustomerId(who)),
    );
    let id = intended.delivery_id;
    shop.happens([to(order, [Event::from(intended)])]).await;
    shop.happens([to(order, [attempted(id, 1, "smtp")])]).await;
    let busy = AttemptEnded {
        cause: Some("greylisted".into()),
        retry_at: Some(Timestamp::now()),
        next_provider: Some("resend".into()),
        ..ended(id, 1, "smtp", Outcome::Transient)
    };
    shop.happens([to(order, [busy.into(), attempted(id, 2, "resend")])])
        .await;
    let taken = AttemptEnded {
        provider_id: Some("re_1".into()),
        ..ended(id, 2, "resend", Outcome::Sent)
    };
    shop.happens([to(order, [taken.into(), settled(id, Status::Sent)])])
        .await;
    id
}

fn row<'a>(body: &'a Value, members: &[&str]) -> Vec<&'a Value> {
    members.iter().map(|name| &body[*name]).collect()
}

#[tokio::test]
async fn a_message_is_shown_with_every_attempt_and_how_it_ended() {
    let shop = Shop::new().await.open().await;
    let (order, who) = (Uuid::now_v7(), Uuid::now_v7());
    let id = sent_by_the_second(&shop, order, who).await;
    let got = shop.ask(&format!("{PATH}/{id}")).await;
    assert_eq!(got.status, 200, "{got:?}");
    let members = [
        "id",
        "order_id",
        "kind",
        "channel",
        "recipient",
        "recipient_type",
        "provider",
        "provider_id",
        "status",
        "attempt",
        "agent",
        "priority",
    ];
    assert_eq!(
        json!(row(&got.body, &members)),
        json!([
            id,
            order,
            "order_confirmed",
            "email",
            who,
            "customer",
            "resend",
            "re_1",
            "sent",
            2,
            "orders",
            "high"
        ])
    );
    let tries = got.body["attempts"].as_array().unwrap();
    let members = ["attempt", "provider", "outcome", "cause", "provider_id"];
    let tries: Vec<_> = tries.iter().map(|attempt| row(attempt, &members)).collect();
    assert_eq!(
        json!(tries),
        json!([
            [1, "smtp", "transient", "greylisted", null],
            [2, "resend", "sent", null, "re_1"]
        ])
    );
    let nothing = shop.ask(&format!("{PATH}/{}", Uuid::now_v7())).await;
    assert_eq!(
        (nothing.status.as_u16(), nothing.code()),
        (404, "not_found")
    );
    let customer = shop.get(PATH, Role::Customer, who).await;
    assert_eq!(customer.status, 403, "not even of his own");
}

#[tokio::test]
async fn an_attempt_of_which_nobody_knew_what_became_is_told_once_somebody_does() {
    let shop = Shop::new().await.open().await;
    let order = Uuid::now_v7();
    let recipient = Recipient::Customer(CustomerId(Uuid::now_v7()));
    let intended = intended(Some(order), Channel::Sms, recipient);
    let id = intended.delivery_id;
    let path = format!("{PATH}/{id}");
    shop.happens([to(order, [intended.into(), attempted(id, 1, "twilio")])])
        .await;
    let got = shop.ask(&path).await;
    assert_eq!(
        json!(row(&got.body, &["status", "provider", "attempt"])),
        json!(["pending", "twilio", 1])
    );
    let unknown = ended(id, 1, "twilio", Outcome::Unknown);
    shop.happens([to(order, [Event::from(unknown)])]).await;
    let got = shop.ask(&path).await;
    assert_eq!(got.body["attempts"][0]["outcome"], "unknown");
    assert_eq!(got.body["status"], "pending");
    let found = AttemptEnded {
        provider_id: Some("SM1".into()),
        ..ended(id, 1, "twilio", Outcome::Sent)
    };
    shop.happens([to(order, [found.into(), settled(id, Status::Sent)])])
        .await;
    let got = shop.ask(&path).await;
    assert_eq!(
        json!(row(&got.body, &["status", "provider_id", "attempt"])),
        json!(["sent", "SM1", 1])
    );
    assert_eq!(got.body["attempts"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn messages_are_found_by_order_status_channel_and_recipient_page_by_page_and_survive_a_rebuild()
 {
    let shop = Shop::new().await.open().await;
    let (order, who, corner) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let sent = sent_by_the_second(&shop, order, who).await.to_string();
    let webhook = intended(
        Some(order),
        Channel::Webhook,
        Recipient::Partner(PartnerId(corner)),
    );
    let told = webhook.delivery_id.to_string();
    let tried = attempted(webhook.delivery_id, 1, "webhooks");
    shop.happens([to(order, [webhook.into(), tried])]).await;
    let alone = intended(None, Channel::Email, Recipient::Customer(CustomerId(who)));
    let welcome = alone.delivery_id.to_string();
    shop.happens([to(who, [Event::from(alone)])]).await;

    for (query, expected) in [
        (String::new(), vec![&welcome, &told, &sent]),
        (format!("order_id={order}"), vec![&told, &sent]),
        (format!("order_id={who}"), vec![]),
        ("status=sent".into(), vec![&sent]),
        ("status=pending".into(), vec![&welcome, &told]),
        ("channel=email".into(), vec![&welcome, &sent]),
        (format!("recipient={who}"), vec![&welcome, &sent]),
        (format!("recipient={corner}"), vec![&told]),
        (format!("partner_id={corner}"), vec![&told]),
        (format!("partner_id={who}"), vec![]),
        (format!("recipient={who}&status=sent"), vec![&sent]),
    ] {
        let got = shop.ask(&format!("{PATH}?{query}")).await;
        assert_eq!(got.ids(), expected, "{query}");
    }
    let first = shop.ask(&format!("{PATH}?limit=2")).await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let rest = shop.ask(&format!("{PATH}?limit=2&cursor={cursor}")).await;
    assert_eq!(rest.ids(), [&sent]);
    for bad in ["status=done", "channel=fax", "recipient=me"] {
        let refused = shop.ask(&format!("{PATH}?{bad}")).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (422, "invalid"),
            "{bad}"
        );
    }

    let rows = shop.shop.rows().await;
    shop.workshop
        .rebuild("notification_deliveries", |_| {})
        .await
        .unwrap();
    assert_eq!(shop.shop.rows().await, rows);
}
