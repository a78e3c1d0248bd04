//! Pushes to apps: the account's key is exchanged for a token, once for all, and a token that is refused is exchanged anew.

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use event_schema::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use notifier::port::{Address, Outcome, Provider};
use notifier::providers::Fcm;
use service_kit::Clock;
use service_kit::settings::FcmSettings;

use crate::server::{Act, Server, json};
use crate::{assert_sent, cause, message};

static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());

fn pem() -> String {
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = KEY.as_der().unwrap();
    format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    )
}

fn with(url: &str, clock: Clock) -> Fcm {
    service_kit::crypto::install().unwrap();
    let settings = FcmSettings {
        url: url.into(),
        project_id: "shop-1".into(),
        client_email: "pusher@shop-1.example".into(),
        private_key_id: "k-1".into(),
        private_key: pem().into(),
        token_uri: format!("{url}/token"),
    };
    Fcm::new(&settings, clock).unwrap()
}

pub fn at(url: &str) -> Fcm {
    with(url, Clock::system())
}

fn phone_app() -> Address {
    Address::Device("fcm-token-1".into())
}

fn token(name: &str) -> Act {
    json(
        200,
        &format!(r#"{{"access_token":"{name}","expires_in":3599,"token_type":"Bearer"}}"#),
    )
}

fn taken() -> Act {
    json(200, r#"{"name":"projects/shop-1/messages/1"}"#)
}

#[tokio::test]
async fn a_push_is_sent_with_a_token_that_the_accounts_key_was_exchanged_for() {
    let api = Server::doing([token("t-1"), taken()]).await;
    let push = message(phone_app());
    let fcm = at(&api.url);
    assert!(fcm.serves(&push.to) && !fcm.serves(&Address::Device(r#"{"endpoint":""}"#.into())));
    assert_sent(&fcm.send(&push).await, Some("projects/shop-1/messages/1"));
    let asked = api.asked();
    assert_eq!(asked[0].line, "POST /token");
    let assertion = asked[0]
        .text()
        .strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
        .unwrap();
    let public = KEY.public_key();
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let key = DecodingKey::from_rsa_components(
        &part(public.modulus().big_endian_without_leading_zero()),
        &part(public.exponent().big_endian_without_leading_zero()),
    )
    .unwrap();
    let mut rules = Validation::new(Algorithm::RS256);
    rules.set_audience(&[format!("{}/token", api.url)]);
    let read = jsonwebtoken::decode::<serde_json::Value>(assertion, &key, &rules).unwrap();
    assert_eq!(read.header.kid.as_deref(), Some("k-1"));
    assert_eq!(read.claims["iss"], "pusher@shop-1.example");
    assert_eq!(
        read.claims["scope"],
        "https://www.googleapis.com/auth/firebase.messaging"
    );

    assert_eq!(asked[1].line, "POST /v1/projects/shop-1/messages:send");
    assert_eq!(asked[1].header("authorization"), Some("Bearer t-1"));
    let told = asked[1].json()["message"].clone();
    assert_eq!(told["token"], "fcm-token-1");
    assert_eq!(told["notification"]["title"], "Order on its way");
    let tag = push.delivery_id.to_string();
    assert_eq!(told["android"]["notification"]["tag"], tag);
    assert_eq!(told["apns"]["headers"]["apns-collapse-id"], tag);
    assert_eq!(told["data"]["order_id"], push.order_id.unwrap().to_string());
}

#[tokio::test]
async fn many_pushes_at_once_share_one_token_until_shortly_before_its_end() {
    let clock = Clock::manual(Timestamp::now());
    let mut plan = vec![token("t-1")];
    plan.extend((0..8).map(|_| taken()));
    plan.extend([token("t-2"), taken()]);
    let api = Server::doing(plan).await;
    let fcm = with(&api.url, clock.clone());
    let pushes: Vec<_> = (0..8).map(|_| message(phone_app())).collect();
    let outcomes = futures::future::join_all(pushes.iter().map(|push| fcm.send(push))).await;
    for outcome in &outcomes {
        assert_sent(outcome, Some("projects/shop-1/messages/1"));
    }
    let tokens = || {
        let asked = api.asked();
        asked
            .iter()
            .filter(|asked| asked.line == "POST /token")
            .count()
    };
    assert_eq!(tokens(), 1);
    clock.advance(Duration::from_secs(3_590));
    fcm.send(&message(phone_app())).await;
    assert_eq!(tokens(), 2);
    assert_eq!(
        api.asked().last().unwrap().header("authorization"),
        Some("Bearer t-2")
    );
}

#[tokio::test]
async fn a_token_that_was_taken_back_is_exchanged_once_and_the_push_sent_with_the_new_one() {
    let refused = || json(401, r#"{"error":{"status":"UNAUTHENTICATED"}}"#);
    let api = Server::doing([token("t-1"), refused(), token("t-2"), taken()]).await;
    let fcm = at(&api.url);
    assert_sent(
        &fcm.send(&message(phone_app())).await,
        Some("projects/shop-1/messages/1"),
    );
    let api = Server::doing([token("t-1"), refused(), token("t-2"), refused()]).await;
    let outcome = at(&api.url).send(&message(phone_app())).await;
    assert_eq!(cause(&outcome), "unauthenticated");
    assert_eq!(api.asked().len(), 4);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_next_push_does_not_ask_again_at_once() {
    let api = Server::doing([json(400, r#"{"error":"invalid_grant"}"#)]).await;
    let fcm = at(&api.url);
    for _ in 0..3 {
        let outcome = fcm.send(&message(phone_app())).await;
        assert!(
            matches!(&outcome, Outcome::Transient { cause, .. } if cause == "token_refused"),
            "{outcome:?}"
        );
    }
    assert_eq!(api.asked().len(), 1);
}

#[tokio::test]
async fn a_device_that_has_gone_is_said_to_be() {
    let gone = r#"{"error":{"status":"NOT_FOUND","details":[{"errorCode":"UNREGISTERED"}]}}"#;
    let api = Server::doing([token("t-1"), json(404, gone)]).await;
    let outcome = at(&api.url).send(&message(phone_app())).await;
    let expected = Outcome::Rejected {
        cause: "unregistered".into(),
        gone: true,
    };
    assert_eq!(outcome, expected);
}
