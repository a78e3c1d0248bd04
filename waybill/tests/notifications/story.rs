//! The story, and what people got.

use std::process::Stdio;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::{Person, Shop, within};
use tokio::process::Command;

use crate::WAYBILL;
use crate::view::View;

/// Runs the printed story, without the lines for a program that not every machine has, and gives the first order.
async fn live_through(shop: &mut Shop) -> (String, Vec<Value>) {
    let story = shop.story();
    let lines: Vec<_> = story
        .lines()
        .filter(|line| !line.starts_with("nats "))
        .collect();
    let output = Command::new("bash")
        .args([
            "-euo",
            "pipefail",
            "-c",
            &format!("{}\necho HAPPY=$HAPPY", lines.join("\n")),
        ])
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let happy = said.rsplit("HAPPY=").next().unwrap().trim().to_owned();
    let orders = said
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|json| json.get("saga").is_some())
        .collect();
    (happy, orders)
}

fn signature_is_of(secret: &str, call: &Value) -> bool {
    let header = |name: &str| call["headers"][name].as_str().unwrap().to_owned();
    let key = STANDARD
        .decode(secret.strip_prefix("whsec_").unwrap())
        .unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let body = call["text"].as_str().unwrap();
    let content = format!(
        "{}.{}.{body}",
        header("webhook-id"),
        header("webhook-timestamp")
    );
    let signature = format!(
        "v1,{}",
        STANDARD.encode(hmac::sign(&key, content.as_bytes()))
    );
    header("webhook-signature")
        .split(' ')
        .any(|one| one == signature)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_is_told_by_mail_text_message_and_push_and_the_sellers_system_is_asked_once() {
    let mut shop = Shop::start(WAYBILL, &[]).await;
    let view = View::of(&shop);
    let (admin, partner) = (shop.admin(), shop.exported("PARTNER"));
    // The demo's seller keeps his secret to himself; a new one signs beside it.
    let path = format!("/v1/partners/{partner}/webhook-secret");
    let rotated = admin.post(&path, &json!({})).await.ok();
    let secret = rotated["webhook_secret"].as_str().unwrap().to_owned();

    let (happy, orders) = live_through(&mut shop).await;

    // By webhook: once, signed with both secrets, with what is to be prepared and where it goes.
    let calls = view.arrived("webhook", &happy, 1).await;
    assert_eq!(calls.len(), 1, "{calls:?}");
    let (call, told) = (&calls[0], &calls[0]["data"]);
    assert_eq!(told["type"], "order.prepare");
    assert_eq!(told["data"]["order_id"], json!(happy));
    assert_eq!(told["data"]["lines"][0]["quantity"], 2);
    assert_eq!(
        told["data"]["delivery_address"],
        "Unter den Linden 1, Berlin"
    );
    assert!(signature_is_of(&secret, call), "{call}");
    let signatures = call["headers"]["webhook-signature"].as_str().unwrap();
    assert_eq!(signatures.split(' ').count(), 2, "{signatures}");

    // By mail, text message and push: placed and confirmed, each once.
    for channel in ["email", "push"] {
        let told = view.arrived(channel, &happy, 2).await;
        assert_eq!(told.len(), 2, "{channel}: {told:#?}");
    }
    let mails = view.messages("email", &happy).await;
    assert!(
        mails.iter().all(|mail| mail["to"] == "ada@example.com"),
        "{mails:#?}"
    );
    assert!(
        mails
            .iter()
            .all(|mail| mail["html"].is_string() && mail["text"].is_string())
    );
    assert!(view.page().await.contains(&happy));
    // A text message is too short for an order's id; there is one for each mail about an order.
    let about_an_order = |mail: &&Value| mail["headers"]["Waybill-Order"].is_string();
    let texts = within("as many text messages as mails about orders", async || {
        let mails = view.messages("email", "").await;
        let texts = view.messages("sms", "").await;
        let mails = mails.iter().filter(about_an_order).count();
        (mails >= 2 * orders.len() && texts.len() == mails).then_some(texts)
    })
    .await;
    assert!(
        texts.iter().all(|text| text["to"] == "+49307654321"),
        "{texts:#?}"
    );

    // Who was cancelled is told so and never that he gets something, and nobody prepares anything for him.
    for order in orders.iter().filter(|order| order["status"] == "cancelled") {
        let id = order["id"].as_str().unwrap();
        let mails = view.arrived("email", id, 2).await;
        assert_eq!(mails.len(), 2, "placed and cancelled: {mails:#?}");
        assert!(view.messages("webhook", id).await.is_empty());
    }

    the_inbox_says_the_same(&shop.customer(), &happy).await;
    the_log_has_every_attempt(&admin, &happy).await;
    shop.stop().await;
}

async fn the_inbox_says_the_same(ada: &Person, order: &str) {
    let inbox = ada.get("/v1/notifications?limit=100").await.ok();
    let kinds: Vec<_> = inbox["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["order_id"] == json!(order))
        .map(|entry| entry["kind"].as_str().unwrap().to_owned())
        .collect();
    for kind in ["order_placed", "order_confirmed"] {
        assert_eq!(
            kinds.iter().filter(|other| *other == kind).count(),
            1,
            "{kinds:?}"
        );
    }
}

/// What left the house is one history, under the order's id: intended, attempted, ended, settled, each once.
async fn the_log_has_every_attempt(admin: &Person, order: &str) {
    let types = within("all messages of the order are settled", async || {
        let bucket = &order[order.len() - 2..];
        let subject = format!("evt.notification.{bucket}.{order}");
        let page = admin
            .get(&format!("/v1/events?subject={subject}&limit=100"))
            .await
            .ok();
        let types: Vec<_> = page["data"]
            .as_array()?
            .iter()
            .filter_map(|event| Some(event["event_type"].as_str()?.to_owned()))
            .collect();
        let count = |wanted: &str| types.iter().filter(|kind| *kind == wanted).count();
        let intended = count("notification.intended");
        (intended > 0 && count("notification.settled") == intended).then_some(types)
    })
    .await;
    let count = |wanted: &str| types.iter().filter(|kind| *kind == wanted).count();
    // Two kinds on three channels for the customer, one for the seller's system.
    assert_eq!(count("notification.intended"), 7, "{types:?}");
    assert_eq!(
        count("notification.attempted"),
        7,
        "nothing was tried twice: {types:?}"
    );
    assert_eq!(count("notification.attempt_ended"), 7, "{types:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_up_finds_his_code_in_the_view_and_it_is_there_after_a_kill() {
    let mut shop = Shop::start(WAYBILL, &[]).await;
    let view = View::of(&shop);
    let grace = json!({"email": "gina@example.com", "password": "correct horse battery", "first_name": "Gina",
        "last_name": "Green"});
    let nobody = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/v1/auth/register", shop.url());
    let registered = nobody.post(url).json(&grace).send().await.unwrap();
    assert!(registered.status().is_success(), "{registered:?}");
    let mine = |mails: &[Value]| {
        let with_code = |mail: &&Value| {
            mail["to"] == "gina@example.com" && has_code(mail["text"].as_str().unwrap_or_default())
        };
        mails.iter().find(with_code).cloned()
    };
    let mail = within("a mail with a code", async || {
        mine(&view.messages("email", "").await)
    })
    .await;
    shop.kill9().await;
    shop.again().await;
    let again = View::of(&shop).messages("email", "").await;
    assert_eq!(mine(&again), Some(mail));
    shop.stop().await;
}

fn has_code(text: &str) -> bool {
    text.split_ascii_whitespace()
        .any(|word| word.len() >= 6 && word.bytes().all(|byte| byte.is_ascii_digit()))
}
