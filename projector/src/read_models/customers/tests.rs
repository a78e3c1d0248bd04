//! Customers as admins and they themselves see them, and what is left of an erased one.

use serde_json::{Value, json};
use service_kit::Role;
use uuid::Uuid;

use event_schema::customer::{
    AvatarChanged, ChannelsChosen, Deactivated, EmailChanged, EmailVerified, Erased, Event,
    ProfileChanged, PushTokenDropped, Role as StoredRole, RoleChanged,
};
use event_schema::ids::PartnerId;
use event_schema::notification::{Channel, QuietHours};

use crate::testing::stories::customer;
use crate::testing::{Shop, to};

#[tokio::test]
async fn a_customer_is_shown_with_the_data_that_his_key_opens() {
    let shop = Shop::new().await.open().await;
    let ada = Uuid::now_v7();
    shop.happens([customer(&shop.shop, ada, "ada").await]).await;
    let got = shop.ask(&format!("/v1/customers/{ada}")).await;
    assert_eq!(
        (&got.body["name"], &got.body["email"], &got.body["role"]),
        (&json!("ada"), &json!("ada@example.org"), &json!("customer"))
    );
    assert_eq!(got.header("etag"), Some("\"1\""));
    let me = shop.get("/v1/me", Role::Customer, ada).await;
    assert_eq!(
        (&me.body["id"], &me.body["name"], &me.body["roles"]),
        (&json!(ada), &json!("ada"), &json!(["customer"]))
    );
}

#[tokio::test]
async fn a_customer_whose_key_is_gone_when_he_is_projected_has_no_name() {
    let shop = Shop::new().await;
    let ada = Uuid::now_v7();
    shop.happens([customer(&shop, ada, "ada").await]).await;
    shop.vault.destroy(ada).await.unwrap();
    let shop = shop.open().await;
    shop.catch_up().await;
    let got = shop.ask(&format!("/v1/customers/{ada}")).await;
    assert_eq!(
        (&got.body["name"], &got.body["email"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn what_becomes_of_a_customer_is_shown_to_himself_and_to_admins() {
    let shop = Shop::new().await.open().await;
    let (ada, partner) = (Uuid::now_v7(), Uuid::now_v7());
    let profile = ProfileChanged {
        name: shop.shop.sealed(ada, "name", "Ada King").await,
        phone: Some(shop.shop.sealed(ada, "phone", "+49 30 7").await),
        birth_date: Some(shop.shop.sealed(ada, "birth_date", "1990-12-10").await),
        push_token: Some(shop.shop.sealed(ada, "push_token", "device").await),
    };
    let moved = EmailChanged {
        email: shop.shop.sealed(ada, "email", "king@example.org").await,
        email_key: "key-king".into(),
    };
    let verified = EmailVerified {
        email_key: "key-king".into(),
    };
    shop.happens([customer(&shop.shop, ada, "ada").await]).await;
    shop.happens([to(
        ada,
        [
            Event::from(profile),
            moved.into(),
            verified.into(),
            RoleChanged {
                role: StoredRole::Partner,
                partner_id: Some(PartnerId(partner)),
            }
            .into(),
            AvatarChanged {
                digest: "aa".into(),
                media_type: "image/webp".into(),
            }
            .into(),
        ],
    )])
    .await;
    let path = format!("/v1/customers/{ada}");
    let mut got = shop.ask(&path).await;
    let created_at = got.body["created_at"].take();
    assert!(created_at.is_string());
    assert_eq!(
        got.body,
        json!({
            "id": ada, "name": "Ada King", "email": "king@example.org", "email_verified": true, "role": "partner",
            "partner_id": partner, "phone": "+49 30 7", "birth_date": "1990-12-10", "status": "active",
            "created_at": null,
        })
    );
    assert_eq!(got.header("etag"), Some("\"6\""));
    let me = shop.get("/v1/me", Role::Partner, ada).await;
    assert_eq!(
        (&me.body["email_verified"], &me.body["avatar_url"]),
        (&json!(true), &json!("/v1/me/avatar"))
    );

    shop.happens([to(ada, [Event::from(Deactivated {})])]).await;
    let got = shop.ask(&path).await;
    assert_eq!(
        (&got.body["status"], &got.body["name"]),
        (&json!("deactivated"), &json!("Ada King"))
    );
    shop.happens([to(ada, [Event::from(Erased {})])]).await;
    let got = shop.ask(&path).await;
    for gone in ["name", "email", "phone", "birth_date"] {
        assert_eq!(got.body[gone], Value::Null, "{gone}");
    }
    assert_eq!(got.body["status"], "erased");
    assert_eq!(got.header("etag"), Some("\"8\""));
    let me = shop.get("/v1/me", Role::Partner, ada).await;
    assert_eq!(me.body["avatar_url"], Value::Null);
}

#[tokio::test]
async fn the_keys_of_our_tokens_are_published_for_everybody() {
    let shop = Shop::new().await.open().await;
    let got = shop.get_with("/.well-known/jwks.json", None, &[]).await;
    let key = &got.body["keys"][0];
    assert_eq!(
        (&key["kty"], &key["crv"], &key["alg"], &key["use"]),
        (
            &json!("OKP"),
            &json!("Ed25519"),
            &json!("EdDSA"),
            &json!("sig")
        )
    );
    assert!(key["kid"].is_string() && key["x"].is_string());
    assert_eq!(key.get("d"), None, "the private half stays here");
    assert_eq!(got.header("cache-control"), Some("public, max-age=300"));
}

#[tokio::test]
async fn a_caller_who_is_no_customer_hears_what_his_token_says() {
    let shop = Shop::new().await.open().await;
    shop.happens([customer(&shop.shop, Uuid::now_v7(), "ada").await])
        .await;
    let somebody = Uuid::now_v7();
    let me = shop.get("/v1/me", Role::Deliverer, somebody).await;
    assert_eq!(
        (&me.body["id"], &me.body["name"]),
        (&json!(somebody), &Value::Null)
    );
    assert_eq!(me.header("etag"), None);
}

#[tokio::test]
async fn customers_are_listed_oldest_first_page_by_page() {
    let shop = Shop::new().await.open().await;
    let people = ["ada", "bob", "cid"];
    for name in people {
        shop.shop
            .happens([customer(&shop.shop, Uuid::now_v7(), name).await])
            .await;
    }
    shop.catch_up().await;
    let first = shop.ask("/v1/customers?limit=2").await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = shop
        .ask(&format!("/v1/customers?limit=2&cursor={cursor}"))
        .await;
    let names = |got: &crate::testing::Got| -> Vec<String> {
        got.body["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!([names(&first), names(&second)].concat(), people);
    assert_eq!(second.body["has_more"], json!(false));
    let wrong = shop.ask("/v1/customers?cursor=nonsense").await;
    assert_eq!(
        (wrong.status.as_u16(), wrong.code()),
        (400, "cursor_invalid")
    );
}

#[tokio::test]
async fn somebody_sees_how_he_wants_to_be_told_things_until_he_is_erased() {
    let shop = Shop::new().await.open().await;
    let ada = Uuid::now_v7();
    let chosen = async || {
        let me = shop.get("/v1/me", Role::Customer, ada).await;
        json!([me.body["notification_channels"], me.body["quiet_hours"]])
    };
    let all = json!([{"email": true, "sms": true, "push": true}, null]);
    shop.catch_up().await;
    assert_eq!(chosen().await, all, "also before anything is known of him");
    shop.happens([customer(&shop.shop, ada, "ada").await]).await;
    assert_eq!(chosen().await, all);
    let night = ChannelsChosen {
        off: vec![Channel::Sms, Channel::Push],
        quiet_hours: Some(QuietHours {
            from: "22:00".into(),
            until: "07:00".into(),
            time_zone: "Europe/Berlin".into(),
        }),
    };
    shop.happens([to(ada, [Event::from(night), PushTokenDropped {}.into()])])
        .await;
    assert_eq!(
        chosen().await,
        json!([{"email": true, "sms": false, "push": false},
               {"from": "22:00", "to": "07:00", "time_zone": "Europe/Berlin"}])
    );
    let rows = shop.shop.rows().await;
    shop.workshop.rebuild("customers", |_| {}).await.unwrap();
    assert_eq!(shop.shop.rows().await, rows);
    shop.happens([to(ada, [Event::from(Erased {})])]).await;
    assert_eq!(chosen().await, all);
}
