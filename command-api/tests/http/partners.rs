//! Partners: added once with a secret, changed, verified, enabled, disabled.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::json;
use uuid::Uuid;

use crate::shop::{Reply, Shop, partner};

const PATH: &str = "/v1/partners";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn a_partner_is_added_neither_verified_nor_enabled_and_its_secret_is_shown() {
    let shop = Shop::open().await;
    let added = shop
        .admin(Method::POST, PATH)
        .key("p-1")
        .json(&partner())
        .send()
        .await;
    assert_eq!(added.status, 201, "{added:#?}");
    assert_eq!(
        (&added.body["verified"], &added.body["enabled"]),
        (&json!(false), &json!(false))
    );
    let secret = added.body["webhook_secret"].as_str().unwrap();
    assert!(
        secret.starts_with("whsec_") && secret.len() > 40,
        "{secret}"
    );
    assert_eq!(
        added.header("location"),
        format!("/v1/partners/{}", added.id())
    );

    // The secret is nowhere in the log.
    for event in shop.log().await {
        assert!(!String::from_utf8_lossy(&event.payload).contains("whsec_"));
    }
    let again = shop
        .admin(Method::POST, PATH)
        .key("p-1")
        .json(&partner())
        .send()
        .await;
    assert_eq!(
        (again.status, &again.body, again.position()),
        (added.status, &added.body, added.position())
    );
    assert_eq!(shop.types().await, ["partner.added"]);
}

#[tokio::test]
async fn two_partners_have_two_secrets() {
    let shop = Shop::open().await;
    let one = shop
        .admin(Method::POST, PATH)
        .key("p-1")
        .json(&partner())
        .send()
        .await;
    let two = shop
        .admin(Method::POST, PATH)
        .key("p-2")
        .json(&partner())
        .send()
        .await;
    assert_ne!(one.body["webhook_secret"], two.body["webhook_secret"]);
    assert_ne!(one.id(), two.id());
}

#[tokio::test]
async fn flags_are_set_once_and_a_repeat_is_already_true() {
    let shop = Shop::open().await;
    let id = shop
        .admin(Method::POST, PATH)
        .new_key()
        .json(&partner())
        .send()
        .await
        .id();
    for (flag, event) in [
        ("verify", "partner.verified"),
        ("enable", "partner.enabled"),
        ("disable", "partner.disabled"),
    ] {
        let path = format!("{PATH}/{id}/{flag}");
        let set = shop.admin(Method::POST, &path).send().await;
        assert_eq!(set.status, 200, "{set:#?}");
        assert!(set.body.get("webhook_secret").is_none());
        assert_eq!(shop.types().await.last().unwrap(), event);
        let again = shop.admin(Method::POST, &path).send().await;
        assert_eq!(
            (again.status, &again.body, again.position()),
            (set.status, &set.body, set.position())
        );
        assert_eq!(shop.log_end().await, set.position());
    }
}

#[tokio::test]
async fn a_late_repeat_under_a_key_does_not_undo_what_came_after() {
    let shop = Shop::open().await;
    let id = shop
        .admin(Method::POST, PATH)
        .new_key()
        .json(&partner())
        .send()
        .await
        .id();
    let enable = || {
        shop.admin(Method::POST, &format!("{PATH}/{id}/enable"))
            .key("enable-1")
            .send()
    };
    assert_eq!(enable().await.body["enabled"], true);
    let disabled = shop
        .admin(Method::POST, &format!("{PATH}/{id}/disable"))
        .send()
        .await;
    assert_eq!(disabled.body["enabled"], false);
    let end = shop.log_end().await;
    let late = enable().await;
    assert_eq!(
        (late.status.as_u16(), &late.body["enabled"]),
        (200, &json!(false))
    );
    assert_eq!(shop.log_end().await, end);
}

#[tokio::test]
async fn a_change_keeps_what_it_does_not_name_and_null_takes_away() {
    let shop = Shop::open().await;
    let id = shop
        .admin(Method::POST, PATH)
        .new_key()
        .json(&partner())
        .send()
        .await
        .id();
    let path = format!("{PATH}/{id}");
    let body = json!({"brand": "Bakery & Co", "webhook_url": null});
    let changed = shop.admin(Method::PATCH, &path).json(&body).send().await;
    assert_eq!(changed.status, 200, "{changed:#?}");
    assert_eq!(changed.body["brand"], "Bakery & Co");
    assert_eq!(changed.body["webhook_url"], json!(null));
    assert_eq!(changed.body["title"], partner()["title"]);
    assert_eq!(changed.header("etag"), "\"2\"");
    let nothing = shop
        .admin(Method::PATCH, &path)
        .json(&json!({}))
        .send()
        .await;
    assert_eq!(
        (nothing.status.as_u16(), nothing.position()),
        (200, changed.position())
    );
}

#[tokio::test]
async fn a_change_decided_on_an_older_version_is_refused() {
    let shop = Shop::open().await;
    let id = shop
        .admin(Method::POST, PATH)
        .new_key()
        .json(&partner())
        .send()
        .await
        .id();
    let path = format!("{PATH}/{id}");
    let change = |tag: &'static str, brand: &'static str| {
        shop.admin(Method::PATCH, &path)
            .header("if-match", tag)
            .json(&json!({"brand": brand}))
            .send()
    };
    assert_eq!(change("\"1\"", "A").await.status, 200);
    let end = shop.log_end().await;
    change("\"1\"", "B").await.is_problem(412, "stale_version");
    change("one", "B").await.is_problem(400, "if_match_invalid");
    assert_eq!(shop.log_end().await, end);
    assert_eq!(change("\"2\"", "B").await.status, 200);
    assert_eq!(change("*", "C").await.status, 200);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let shop = Shop::open().await;
    let nobody = Uuid::now_v7();
    let path = format!("{PATH}/{nobody}");
    shop.admin(Method::PATCH, &path)
        .json(&json!({"brand": "X"}))
        .send()
        .await
        .is_problem(404, "not_found");
    for flag in ["verify", "enable", "disable"] {
        let reply = shop
            .admin(Method::POST, &format!("{path}/{flag}"))
            .send()
            .await;
        reply.is_problem(404, "not_found");
    }
    let reply = shop
        .admin(Method::POST, &format!("{PATH}/nonsense/verify"))
        .send()
        .await;
    reply.is_problem(404, "not_found");
    assert_eq!(shop.log_end().await, 0);
}

#[tokio::test]
async fn every_field_that_cannot_be_accepted_is_named() {
    let shop = Shop::open().await;
    let bad = json!({"title": "", "brand": "B", "phone": "no", "email": "no", "address": " ", "webhook_url": "ftp://x"});
    let reply = shop
        .admin(Method::POST, PATH)
        .new_key()
        .json(&bad)
        .send()
        .await;
    reply.is_problem(422, "invalid");
    for (pointer, code) in [
        ("/title", "required"),
        ("/phone", "invalid"),
        ("/email", "invalid"),
        ("/address", "required"),
        ("/webhook_url", "invalid"),
    ] {
        reply.names(pointer, code);
    }
    let reply = shop
        .admin(Method::POST, PATH)
        .new_key()
        .json(&json!({"title": "T"}))
        .send()
        .await;
    reply.is_problem(422, "invalid");
    reply.names("/brand", "required");
}

/// Says under a secret that an order is ready; of no order that there is.
async fn says(shop: &Shop, partner: Uuid, secret: &str) -> Reply {
    let (at, id) = (shop.clock.now().as_second(), Uuid::now_v7());
    let body = json!({"type": "order.late", "data": {}}).to_string();
    let key = STANDARD
        .decode(secret.strip_prefix("whsec_").unwrap())
        .unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let signature = STANDARD.encode(hmac::sign(&key, format!("{id}.{at}.{body}").as_bytes()));
    shop.nobody(Method::POST, &format!("/v1/webhooks/partners/{partner}"))
        .header("webhook-id", &id.to_string())
        .header("webhook-timestamp", &at.to_string())
        .header("webhook-signature", &format!("v1,{signature}"))
        .raw(body)
        .send()
        .await
}

#[tokio::test]
async fn a_new_secret_is_shown_once_and_the_old_one_is_believed_for_a_day() {
    let shop = Shop::open().await;
    let ask = shop.admin(Method::POST, PATH).new_key();
    let added = ask.json(&partner()).send().await;
    let (id, old) = (added.id(), added.body["webhook_secret"].as_str().unwrap());
    let end = shop.log_end().await;
    let rotate = |key: &str| {
        let path = format!("{PATH}/{id}/webhook-secret");
        shop.admin(Method::POST, &path).key(key).send()
    };
    let rotated = rotate("new-1").await;
    assert_eq!(rotated.status, 200, "{rotated:#?}");
    let new = rotated.body["webhook_secret"].as_str().unwrap();
    assert!(new.starts_with("whsec_") && new != old, "{new}");
    assert_eq!(
        rotate("new-1").await.body,
        rotated.body,
        "a repeat shows it again"
    );
    for secret in [old, new] {
        assert_eq!(says(&shop, id, secret).await.status, 200);
    }
    shop.clock.advance(DAY);
    assert_eq!(says(&shop, id, new).await.status, 200);
    says(&shop, id, old)
        .await
        .is_problem(400, "signature_invalid");

    // Two at once: two new secrets, and whichever came last holds, the other one is the old one.
    let (one, two) = futures::join!(rotate("new-2"), rotate("new-3"));
    for reply in [&one, &two] {
        let secret = reply.body["webhook_secret"].as_str().unwrap();
        assert_eq!(says(&shop, id, secret).await.status, 200);
    }
    says(&shop, id, new)
        .await
        .is_problem(400, "signature_invalid");
    rotate("new-1").await.is_problem(409, "secret_replaced");
    let nobody = format!("{PATH}/{}/webhook-secret", Uuid::now_v7());
    shop.admin(Method::POST, &nobody)
        .new_key()
        .send()
        .await
        .is_problem(404, "not_found");
    assert_eq!(shop.log_end().await, end, "secrets are not in the log");
}
