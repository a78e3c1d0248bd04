//! Agents as admins set them, and how people want to be told things.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};
use service_kit::Role;
use uuid::Uuid;

use crate::shop::{Reply, Shop, customer};

const PATH: &str = "/v1/notification-agents";

fn agent() -> Value {
    json!({
        "name": "orders", "kinds": ["order_confirmed", "order_ready"], "priority": "high",
        "channels": [{"channel": "email", "providers": ["resend", "smtp"]}, {"channel": "push"}],
        "active": true, "allow_duplicates": true,
        "quiet_hours": {"from": "22:00", "to": "07:00", "time_zone": "Europe/Berlin"},
    })
}

fn with(member: &str, value: Value) -> Value {
    let mut agent = agent();
    agent[member] = value;
    agent
}

async fn set(shop: &Shop, body: &Value) -> Reply {
    shop.admin(Method::PUT, PATH).json(body).send().await
}

#[tokio::test]
async fn an_agent_is_set_as_a_whole_and_the_same_again_changes_nothing() {
    let shop = Shop::open().await;
    let first = set(&shop, &agent()).await;
    assert_eq!(first.status, 200, "{first:#?}");
    let mut expected = agent();
    expected["channels"][1]["providers"] = json!([]);
    expected["version"] = json!(1);
    assert_eq!(first.body, expected);
    assert_eq!(first.header("etag"), "\"1\"");
    let again = set(&shop, &agent()).await;
    assert_eq!(
        (again.status, again.position(), &again.body),
        (first.status, first.position(), &first.body)
    );
    assert_eq!(shop.types().await, ["notification_agent.set"]);

    let ask = || {
        let quiet = with("quiet_hours", Value::Null);
        shop.admin(Method::PUT, PATH).json(&quiet)
    };
    ask()
        .header("if-match", "\"0\"")
        .send()
        .await
        .is_problem(412, "stale_version");
    let second = ask().header("if-match", "\"1\"").send().await;
    assert_eq!(
        (second.header("etag"), &second.body["quiet_hours"]),
        ("\"2\"", &Value::Null)
    );
    // One that is switched off needs nothing to tell by; another name is another agent.
    let off =
        json!({"name": "night-2", "kinds": [], "priority": "low", "channels": [], "active": false});
    let off = set(&shop, &off).await;
    assert_eq!((off.status.as_u16(), off.header("etag")), (200, "\"1\""));
}

#[tokio::test]
async fn an_agent_that_cannot_be_is_refused_by_each_member_that_is_wrong() {
    let shop = Shop::open().await;
    for (body, pointer, code) in [
        (with("name", json!(" ")), "/name", "required"),
        (with("name", json!("Orders!")), "/name", "invalid"),
        (with("name", json!("x".repeat(65))), "/name", "too_long"),
        (with("kinds", json!(["order_lost"])), "/kinds/0", "invalid"),
        (
            with("kinds", json!(["order_ready", "order_ready"])),
            "/kinds/1",
            "invalid",
        ),
        (
            with("kinds", json!(vec!["order_ready"; 40])),
            "/kinds",
            "too_long",
        ),
        (with("priority", json!("urgent")), "/priority", "invalid"),
        (with("channels", json!([])), "/channels", "required"),
        (
            with("channels", json!([{"channel": "fax"}])),
            "/channels/0/channel",
            "invalid",
        ),
        (
            with("channels", json!([{"channel": "sms"}, {"channel": "sms"}])),
            "/channels/1/channel",
            "invalid",
        ),
        (
            with(
                "channels",
                json!([{"channel": "sms", "providers": ["smtp"]}]),
            ),
            "/channels/0/providers/0",
            "invalid",
        ),
        (
            with(
                "channels",
                json!([{"channel": "email", "providers": ["smtp", "smtp"]}]),
            ),
            "/channels/0/providers/1",
            "invalid",
        ),
        (
            with("channels", json!([{"channel": "email", "order": 1}])),
            "/channels/0/order",
            "unknown_field",
        ),
        (
            with(
                "quiet_hours",
                json!({"from": "22:00", "to": "22:00", "time_zone": "UTC"}),
            ),
            "/quiet_hours/to",
            "invalid",
        ),
        (
            with(
                "quiet_hours",
                json!({"from": "22:00", "to": "07:00", "time_zone": "Here"}),
            ),
            "/quiet_hours/time_zone",
            "invalid",
        ),
        (with("active", json!("yes")), "/active", "wrong_type"),
    ] {
        set(&shop, &body).await.names(pointer, code);
    }
    let mut partial = agent();
    partial.as_object_mut().unwrap().remove("active");
    set(&shop, &partial).await.names("/active", "required");
    assert_eq!(shop.log_end().await, 0);
}

/// A customer of the shop.
async fn somebody(shop: &Shop) -> Uuid {
    let added = shop
        .admin(Method::POST, "/v1/customers")
        .new_key()
        .json(&customer("ada@example.org"))
        .send()
        .await;
    assert_eq!(added.status, 201, "{added:#?}");
    added.id()
}

async fn change(shop: &Shop, who: Uuid, body: &Value) -> Reply {
    shop.by(Role::Customer, who, Method::PATCH, "/v1/me")
        .json(body)
        .send()
        .await
}

#[tokio::test]
async fn somebody_chooses_how_and_when_he_is_told_things_and_what_he_does_not_name_stays() {
    let shop = Shop::open().await;
    let ada = somebody(&shop).await;
    let night = json!({"from": "22:00", "to": "07:00", "time_zone": "Europe/Berlin"});
    let chosen = change(
        &shop,
        ada,
        &json!({"notification_channels": {"sms": false}, "quiet_hours": night}),
    )
    .await;
    assert_eq!(chosen.status, 200, "{chosen:#?}");
    assert_eq!(
        (
            &chosen.body["notification_channels"],
            &chosen.body["quiet_hours"]
        ),
        (&json!({"email": true, "sms": false, "push": true}), &night)
    );
    let position = chosen.position();
    let same =
        json!({"notification_channels": {"sms": false, "email": true}, "quiet_hours": night});
    assert_eq!(change(&shop, ada, &same).await.position(), position);

    let more = change(
        &shop,
        ada,
        &json!({"notification_channels": {"email": false}}),
    )
    .await;
    assert_eq!(
        (
            &more.body["notification_channels"],
            &more.body["quiet_hours"]
        ),
        (&json!({"email": false, "sms": false, "push": true}), &night)
    );
    let awake = change(&shop, ada, &json!({"quiet_hours": null})).await;
    assert_eq!(awake.body["quiet_hours"], Value::Null);
    assert_eq!(
        awake.body["notification_channels"],
        json!({"email": false, "sms": false, "push": true})
    );
    // Something else that changes leaves all of that alone.
    let renamed = change(&shop, ada, &json!({"name": "Ada King"})).await;
    assert_eq!(renamed.body["notification_channels"]["email"], false);
    let chosen = shop.types().await;
    let chosen = chosen
        .iter()
        .filter(|kind| *kind == "customer.channels_chosen");
    assert_eq!(chosen.count(), 3);
}

#[tokio::test]
async fn a_way_that_there_is_not_hours_that_mean_nothing_and_half_a_subscription_are_refused() {
    let shop = Shop::open().await;
    let ada = somebody(&shop).await;
    let end = shop.log_end().await;
    let hours = |from: &str, to: &str, zone: &str| json!({"quiet_hours": {"from": from, "to": to, "time_zone": zone}});
    for (body, pointer, code) in [
        (
            json!({"notification_channels": {"webhook": false}}),
            "/notification_channels/webhook",
            "unknown_field",
        ),
        (
            json!({"notification_channels": {"sms": "no"}}),
            "/notification_channels/sms",
            "wrong_type",
        ),
        (
            hours("10pm", "07:00", "UTC"),
            "/quiet_hours/from",
            "invalid",
        ),
        (hours("22:00", "7", "UTC"), "/quiet_hours/to", "invalid"),
        (hours("22:00", "22:00", "UTC"), "/quiet_hours/to", "invalid"),
        (
            hours("22:00", "07:00", "Europe/Atlantis"),
            "/quiet_hours/time_zone",
            "invalid",
        ),
        (
            json!({"quiet_hours": {"from": "22:00"}}),
            "/quiet_hours/to",
            "required",
        ),
        (
            json!({"push_token": "{\"endpoint\":\"https://push.example/1\"}"}),
            "/push_token",
            "invalid",
        ),
    ] {
        change(&shop, ada, &body).await.names(pointer, code);
    }
    assert_eq!(shop.log_end().await, end);
    let keys = json!({
        "p256dh": URL_SAFE_NO_PAD.encode([&[4][..], &[1; 64]].concat()),
        "auth": URL_SAFE_NO_PAD.encode([2; 16]),
    });
    let browser = json!({"endpoint": "https://push.example/1", "keys": keys}).to_string();
    let taken = change(&shop, ada, &json!({"push_token": browser})).await;
    assert_eq!(taken.status, 200, "{taken:#?}");
}
