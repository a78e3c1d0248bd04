//! Pushes to browsers: what the push service carries only the browser reads, and it carries nothing into our own house.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use notifier::outbound::{Nets, Outbound};
use notifier::port::{Address, Outcome, Provider};
use notifier::providers::WebPush;
use serde_json::{Value, json as value};
use service_kit::Clock;
use service_kit::push_key::PushKey;
use service_kit::settings::WebPushSettings;

use crate::server::{Act, Server, json};
use crate::{cause, message};

/// A browser that has subscribed.
struct Browser {
    private: PrivateKey,
    public: Vec<u8>,
    auth: [u8; 16],
}

impl Browser {
    fn new() -> Self {
        let private = PrivateKey::generate(&ECDH_P256).unwrap();
        let public = private.compute_public_key().unwrap().as_ref().to_vec();
        Self {
            private,
            public,
            auth: *uuid::Uuid::now_v7().as_bytes(),
        }
    }

    fn at(&self, endpoint: &str) -> Address {
        let subscription = value!({
            "endpoint": endpoint,
            "expirationTime": null,
            "keys": {
                "p256dh": URL_SAFE_NO_PAD.encode(&self.public),
                "auth": URL_SAFE_NO_PAD.encode(self.auth),
            },
        });
        Address::Device(subscription.to_string())
    }

    /// As RFC 8291 and RFC 8188 say that a browser reads, step by step.
    fn read(&self, body: &[u8]) -> Value {
        let (salt, rest) = body.split_at(16);
        let (size, rest) = rest.split_at(4);
        assert_eq!(size, 4096_u32.to_be_bytes());
        let (id_bytes, rest) = rest.split_first().unwrap();
        let (sender, record) = rest.split_at(usize::from(*id_bytes));
        let hmac = |key: &[u8], data: &[u8]| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            hmac::sign(&key, data).as_ref().to_vec()
        };
        let peer = UnparsedPublicKey::new(&ECDH_P256, sender);
        let secret = agree(&self.private, peer, (), |secret| Ok(secret.to_vec())).unwrap();
        let info = [b"WebPush: info\0", &self.public[..], sender, b"\x01"].concat();
        let ikm = hmac(&hmac(&self.auth, &secret), &info);
        let prk = hmac(salt, &ikm);
        let key = &hmac(&prk, b"Content-Encoding: aes128gcm\0\x01")[..16];
        let nonce = &hmac(&prk, b"Content-Encoding: nonce\0\x01")[..12];
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key).unwrap());
        let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
        let mut record = record.to_vec();
        let opened = key.open_in_place(nonce, Aad::empty(), &mut record).unwrap();
        let (last, message) = opened.split_last().unwrap();
        assert_eq!(*last, 2);
        serde_json::from_slice(message).unwrap()
    }
}

fn webpush(nets: &[&str]) -> (WebPush, PushKey) {
    service_kit::crypto::install().unwrap();
    let key = PushKey::fresh().unwrap();
    let settings = WebPushSettings {
        key: key.clone(),
        subject: "mailto:shop@example.com".into(),
    };
    let nets: Vec<_> = nets.iter().map(|net| net.parse().unwrap()).collect();
    let outbound = Outbound::new(Nets::new(&nets)).unwrap();
    (WebPush::new(&settings, outbound, Clock::system()), key)
}

#[tokio::test]
async fn a_push_is_signed_for_its_service_and_read_by_the_browser_alone() {
    let (webpush, key) = webpush(&["127.0.0.0/8"]);
    let service = Server::doing([Act::Answer(
        201,
        String::new(),
        &[("location", "https://push.example/m/abc")],
    )])
    .await;
    let browser = Browser::new();
    let push = message(browser.at(&format!("{}/send/1", service.url)));
    assert!(webpush.serves(&push.to) && !webpush.serves(&Address::Device("fcm-token".into())));
    let outcome = webpush.send(&push).await;
    crate::assert_sent(&outcome, Some("abc"));

    let asked = &service.asked()[0];
    assert_eq!(asked.line, "POST /send/1");
    for (name, expected) in [
        ("content-encoding", "aes128gcm"),
        ("content-type", "application/octet-stream"),
        ("ttl", "86400"),
        ("urgency", "high"),
        ("topic", &push.delivery_id.simple().to_string()),
    ] {
        assert_eq!(asked.header(name), Some(expected), "{name}");
    }
    let (token, public) = asked
        .header("authorization")
        .unwrap()
        .strip_prefix("vapid t=")
        .unwrap()
        .split_once(", k=")
        .unwrap();
    assert_eq!(public, key.public_text());
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let public =
        DecodingKey::from_ec_components(&part(&key.public()[1..33]), &part(&key.public()[33..]))
            .unwrap();
    let mut rules = Validation::new(Algorithm::ES256);
    rules.set_audience(&[&service.url]);
    jsonwebtoken::decode::<Value>(token, &public, &rules).unwrap();

    let told = browser.read(&asked.body);
    assert_eq!(told["title"], "Order on its way");
    assert_eq!(told["body"], push.content.data["body"]);
    assert_eq!(told["order_id"], push.order_id.unwrap().to_string());
    let carried = String::from_utf8_lossy(&asked.body).into_owned();
    assert!(!carried.contains("Order"), "the push service could read it");
}

#[tokio::test]
async fn a_subscription_that_has_ended_or_never_was_one_is_dropped() {
    let (webpush, _) = webpush(&["127.0.0.0/8"]);
    let service = Server::doing([json(410, ""), json(404, "")]).await;
    let browser = Browser::new();
    let mut wrong = Browser::new();
    wrong.public[1] ^= 0xff;
    for (to, why) in [
        (browser.at(&service.url), "http_410"),
        (browser.at(&service.url), "http_404"),
        (
            Address::Device(r#"{"endpoint":"https://push.example"}"#.into()),
            "unusable_subscription",
        ),
        (wrong.at(&service.url), "unusable_keys"),
    ] {
        let outcome = webpush.send(&message(to)).await;
        let expected = Outcome::Rejected {
            cause: why.into(),
            gone: true,
        };
        assert_eq!(outcome, expected);
    }
}

#[tokio::test]
async fn an_endpoint_in_our_own_house_is_never_called() {
    let (webpush, _) = webpush(&[]);
    let house = Server::doing([json(201, "")]).await;
    let browser = Browser::new();
    for endpoint in [
        house.url.clone(),
        house.url.replace("http:", "https:"),
        "https://169.254.169.254/latest/meta-data".into(),
        "https://[::1]:4222/".into(),
        "file:///etc/passwd".into(),
    ] {
        let outcome = webpush.send(&message(browser.at(&endpoint))).await;
        assert!(
            matches!(&outcome, Outcome::Rejected { gone: false, .. }),
            "{endpoint}: {outcome:?}"
        );
    }
    assert!(house.asked().is_empty());
}

#[tokio::test]
async fn a_service_that_breaks_off_leaves_the_outcome_unknown_and_one_that_moves_is_not_followed() {
    let (webpush, _) = webpush(&["127.0.0.0/8"]);
    let browser = Browser::new();
    let service = Server::doing([
        Act::HangUp,
        Act::Answer(307, String::new(), &[("location", "http://127.0.0.1:1/")]),
    ])
    .await;
    let lost = webpush.send(&message(browser.at(&service.url))).await;
    assert!(matches!(lost, Outcome::Unknown { .. }), "{lost:?}");
    let moved = webpush.send(&message(browser.at(&service.url))).await;
    assert_eq!(cause(&moved), "http_307");
}
