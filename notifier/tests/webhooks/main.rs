//! What partners' systems get, against real servers: it is believed by the code that checks what they send us, and by the
//! standard's own library.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod partner;

use std::time::Duration;

use aws_lc_rs::hmac;
use domain::notification::Recovery;
use event_schema::notification::Kind;
use event_schema::{Currency, Money};
use http::{HeaderMap, HeaderName};
use notifier::outbound::{Nets, Outbound};
use notifier::port::{Address, Outcome, Outgoing, Provider};
use notifier::providers::Webhooks;
use notifier::templates::{Facts, Line, render};
use secrecy::SecretString;
use service_kit::{Clock, standard_webhooks};
use uuid::Uuid;

use partner::{Call, Partner};

const NEW: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn webhooks(nets: &[&str]) -> Webhooks {
    let nets: Vec<_> = nets.iter().map(|net| net.parse().unwrap()).collect();
    let outbound = Outbound::new(Nets::new(&nets)).unwrap();
    Webhooks::new(outbound, Clock::system())
}

fn local() -> Webhooks {
    webhooks(&["127.0.0.0/8"])
}

fn to_prepare(url: &str, secrets: &[&str], attempt: u32) -> Outgoing {
    let intended_at = "2026-11-21T08:30:00Z".parse().unwrap();
    let order_id = Uuid::from_u128(7);
    let one = Money::new(1999, Currency::EUR);
    let facts = Facts {
        order_id: Some(order_id),
        lines: vec![Line {
            product_id: Uuid::from_u128(8),
            sku: "LAMP-1".into(),
            name: "Bicycle lamp".into(),
            quantity: 2,
            unit_price: one,
            total: one,
        }],
        delivery_address: Some("1 Road".into()),
        phone: Some("+49 30 1".into()),
        ..Facts::default()
    };
    Outgoing {
        delivery_id: Uuid::from_u128(9),
        attempt,
        kind: Kind::OrderPrepare,
        order_id: Some(order_id),
        intended_at,
        to: Address::Webhook {
            partner_id: Uuid::from_u128(10),
            url: url.to_owned(),
            secrets: secrets.iter().map(|s| SecretString::from(*s)).collect(),
        },
        content: render(Kind::OrderPrepare, &facts),
    }
}

fn headers(call: &Call) -> HeaderMap {
    let pair = |(name, value): &(String, String)| {
        (
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            value.parse().unwrap(),
        )
    };
    call.headers.iter().map(pair).collect()
}

fn keys(secrets: &[&str]) -> Vec<hmac::Key> {
    secrets
        .iter()
        .map(|s| standard_webhooks::key(s).unwrap())
        .collect()
}

#[tokio::test]
async fn a_partner_is_told_what_to_prepare_and_believes_it() {
    let partner = Partner::answering(&["200 OK"]).await;
    let outcome = local().send(&to_prepare(&partner.url(), &[NEW], 1)).await;
    assert_eq!(outcome, Outcome::Sent { provider_id: None });
    let calls = partner.calls();
    let [call] = calls.as_slice() else {
        panic!("{calls:?}");
    };
    let body: serde_json::Value = serde_json::from_str(&call.body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({
            "type": "order.prepare", "timestamp": "2026-11-21T08:30:00Z",
            "data": {
                "order_id": Uuid::from_u128(7), "delivery_address": "1 Road", "phone": "+49 30 1",
                "lines": [{"product_id": Uuid::from_u128(8), "sku": "LAMP-1", "name": "Bicycle lamp", "quantity": 2}],
            },
        })
    );
    let headers = headers(call);
    assert_eq!(headers["content-type"], "application/json");
    let now = Clock::system().now();
    let verified = standard_webhooks::verify(&headers, call.body.as_bytes(), &keys(&[NEW]), now);
    assert_eq!(verified, Ok(Uuid::from_u128(9).to_string().as_str()));
}

#[tokio::test]
async fn the_standards_own_library_believes_it_with_either_secret_while_they_are_rotated() {
    let partner = Partner::answering(&["200 OK"]).await;
    local()
        .send(&to_prepare(&partner.url(), &[NEW, OLD], 1))
        .await;
    let call = partner.calls().remove(0);
    for secret in [NEW, OLD] {
        let library = standardwebhooks::Webhook::new(secret).unwrap();
        library
            .verify(call.body.as_bytes(), &headers(&call))
            .unwrap();
        let changed = call.body.replace("1 Road", "2 Road");
        assert!(library.verify(changed.as_bytes(), &headers(&call)).is_err());
    }
    let other = standardwebhooks::Webhook::new("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
    assert!(other.verify(call.body.as_bytes(), &headers(&call)).is_err());
}

#[tokio::test]
async fn each_try_has_the_same_id_and_body_and_a_time_and_signature_of_its_own() {
    let partner = Partner::answering(&["503 Busy", "hang up", "200 OK"]).await;
    let clock = Clock::manual("2026-11-21T08:30:00Z".parse().unwrap());
    let outbound = Outbound::new(Nets::new(&["127.0.0.0/8".parse().unwrap()])).unwrap();
    let webhooks = Webhooks::new(outbound, clock.clone());
    let mut outcomes = Vec::new();
    for attempt in 1..=3 {
        outcomes.push(
            webhooks
                .send(&to_prepare(&partner.url(), &[NEW], attempt))
                .await,
        );
        clock.advance(Duration::from_secs(60));
    }
    let later = |cause: &str| Outcome::Transient {
        cause: cause.into(),
        retry_after: None,
    };
    let sent = Outcome::Sent { provider_id: None };
    assert_eq!(
        outcomes,
        [later("http_503"), later("connection_broken"), sent]
    );
    let calls = partner.calls();
    assert_eq!(calls.len(), 3);
    for (number, call) in calls.iter().enumerate() {
        assert_eq!(call.header("webhook-id"), Uuid::from_u128(9).to_string());
        assert_eq!(call.body, calls[0].body);
        let sent_at = 1_795_249_800 + 60 * number;
        assert_eq!(call.header("webhook-timestamp"), sent_at.to_string());
    }
    assert_ne!(
        calls[0].header("webhook-signature"),
        calls[2].header("webhook-signature")
    );
    assert!(matches!(webhooks.recovery(), Recovery::Key { .. }));
}

#[tokio::test]
async fn a_partner_who_is_gone_is_said_to_be_and_one_who_redirects_is_not_followed() {
    let gone = Partner::answering(&["410 Gone"]).await;
    let outcome = local().send(&to_prepare(&gone.url(), &[NEW], 1)).await;
    let cause = "http_410".to_owned();
    assert_eq!(outcome, Outcome::Rejected { cause, gone: true });

    let inside = Partner::answering(&["200 OK"]).await;
    let location = format!("307 Elsewhere\r\nlocation: {}", inside.url());
    let redirecting = Partner::answering(&[&location]).await;
    let outcome = local()
        .send(&to_prepare(&redirecting.url(), &[NEW], 5))
        .await;
    let cause = "http_307".to_owned();
    assert_eq!(outcome, Outcome::Rejected { cause, gone: false });
    assert!(inside.calls().is_empty());
}

#[tokio::test]
async fn nobody_is_called_without_a_secret_or_in_a_private_network() {
    let partner = Partner::answering(&["200 OK"]).await;
    let outcome = local().send(&to_prepare(&partner.url(), &[], 1)).await;
    let cause = "no_secret".to_owned();
    assert_eq!(outcome, Outcome::Rejected { cause, gone: false });

    let guarded = webhooks(&[]);
    let first = guarded.send(&to_prepare(&partner.url(), &[NEW], 1)).await;
    let cause = "address_not_public".to_owned();
    assert_eq!(
        first,
        Outcome::Transient {
            cause: cause.clone(),
            retry_after: None
        }
    );
    let last = guarded.send(&to_prepare(&partner.url(), &[NEW], 5)).await;
    assert_eq!(last, Outcome::Rejected { cause, gone: false });
    let plain = guarded
        .send(&to_prepare("http://8.8.8.8/hook", &[NEW], 1))
        .await;
    let cause = "address_unusable".to_owned();
    assert_eq!(plain, Outcome::Rejected { cause, gone: false });
    assert!(partner.calls().is_empty());
}
