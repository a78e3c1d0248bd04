//! Agents as they are set, and those that hold while nobody has set any.

use event_schema::notification::{Channel, Kind, Priority, QuietHours};
use event_schema::notification_agent::{self, Event, Route, Set};
use serde_json::{Value, json};

use crate::testing::{Got, Happening, Shop, to};

const PATH: &str = "/v1/notification-agents";

fn set(name: &str, active: bool) -> Happening {
    let route = |channel, providers: &[&str]| Route {
        channel,
        providers: providers.iter().map(ToString::to_string).collect(),
    };
    let set = Set {
        name: name.into(),
        kinds: vec![Kind::OrderReady, Kind::LowStock],
        priority: Priority::Low,
        channels: vec![route(Channel::Sms, &["twilio"]), route(Channel::Email, &[])],
        active,
        allow_duplicates: true,
        quiet_hours: Some(QuietHours {
            from: "22:00".into(),
            until: "07:00".into(),
            time_zone: "Europe/Berlin".into(),
        }),
    };
    to(notification_agent::id(name), [Event::from(set)])
}

fn names(got: &Got) -> Vec<(&str, i64)> {
    let rows = got.body["data"].as_array().unwrap();
    let named = |row: &'_ Value| row["version"].as_i64().unwrap();
    rows.iter()
        .map(|row| (row["name"].as_str().unwrap(), named(row)))
        .collect()
}

#[tokio::test]
async fn the_built_in_agents_are_shown_until_somebody_sets_one_of_their_name() {
    let shop = Shop::new().await.open().await;
    shop.catch_up().await;
    let built_in = shop.ask(PATH).await;
    assert_eq!(
        names(&built_in),
        [("account", 0), ("orders", 0), ("partners", 0), ("staff", 0)]
    );
    assert_eq!(
        built_in.body["data"][2],
        json!({"name": "partners", "kinds": ["order_prepare"], "priority": "high",
               "channels": [{"channel": "webhook", "providers": []}], "active": true, "allow_duplicates": false,
               "quiet_hours": null, "version": 0, "updated_at": null})
    );
    shop.happens([set("orders", true)]).await;
    shop.happens([set("orders", false)]).await;
    shop.happens([set("night", true)]).await;
    let got = shop.ask(PATH).await;
    assert_eq!(
        names(&got),
        [
            ("account", 0),
            ("night", 1),
            ("orders", 2),
            ("partners", 0),
            ("staff", 0)
        ]
    );
    let orders = &got.body["data"][2];
    assert_eq!(
        (&orders["active"], &orders["priority"]),
        (&json!(false), &json!("low"))
    );
    assert_eq!(orders["kinds"], json!(["order_ready", "low_stock"]));
    assert_eq!(
        orders["channels"],
        json!([{"channel": "sms", "providers": ["twilio"]}, {"channel": "email", "providers": []}])
    );
    assert_eq!(
        orders["quiet_hours"],
        json!({"from": "22:00", "to": "07:00", "time_zone": "Europe/Berlin"})
    );
    assert!(orders["updated_at"].is_string());
}

#[tokio::test]
async fn agents_are_paged_through_and_are_the_same_after_a_rebuild() {
    let shop = Shop::new().await.open().await;
    for name in ["orders", "a", "z"] {
        shop.happens([set(name, true)]).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let got = shop.ask(&format!("{PATH}?limit=2{cursor}")).await;
        seen.extend(names(&got).iter().map(|(name, _)| (*name).to_owned()));
        match got.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["a", "account", "orders", "partners", "staff", "z"]);
    let rows = shop.shop.rows().await;
    shop.workshop
        .rebuild("notification_agents", |_| {})
        .await
        .unwrap();
    assert_eq!(shop.shop.rows().await, rows);
    let verified = shop
        .workshop
        .verify("notification_agents", |_| {})
        .await
        .unwrap();
    assert!(verified.is_same());
}
