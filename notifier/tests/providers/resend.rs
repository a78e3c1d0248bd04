//! E-mail by an HTTP API.

use notifier::port::{Outcome, Provider, Recovery};
use notifier::providers::Resend;
use service_kit::settings::MailApiSettings;

use crate::server::{Act, Server, json};
use crate::{ada, assert_sent, message};

pub fn at(url: &str) -> Resend {
    service_kit::crypto::install().unwrap();
    let settings = MailApiSettings {
        url: url.into(),
        key: "re_secret".into(),
    };
    Resend::new(&settings, "Corner Shop <shop@example.com>").unwrap()
}

#[tokio::test]
async fn a_mail_is_posted_whole_under_the_deliverys_id_as_its_key() {
    let api = Server::doing([json(200, r#"{"id":"m-1"}"#)]).await;
    let resend = at(&api.url);
    let mail = message(ada());
    assert_sent(&resend.send(&mail).await, Some("m-1"));
    let asked = &api.asked()[0];
    assert_eq!(asked.line, "POST /emails");
    assert_eq!(asked.header("authorization"), Some("Bearer re_secret"));
    assert_eq!(
        asked.header("idempotency-key"),
        Some(mail.delivery_id.to_string().as_str())
    );
    let body = asked.json();
    assert_eq!(body["from"], "Corner Shop <shop@example.com>");
    assert_eq!(body["to"][0], r#""Ada \"the\" Lovelace" <ada@example.org>"#);
    assert_eq!(body["text"], mail.content.text);
    assert_eq!(body["html"], mail.content.html);
    assert_eq!(
        body["headers"]["Waybill-Order"],
        mail.order_id.unwrap().to_string()
    );
}

#[tokio::test]
async fn when_the_answer_is_lost_the_same_call_under_the_same_key_tells() {
    let api = Server::doing([Act::HangUp, json(200, r#"{"id":"m-1"}"#)]).await;
    let resend = at(&api.url);
    let mail = message(ada());
    let lost = resend.send(&mail).await;
    assert!(matches!(lost, Outcome::Unknown { .. }), "{lost:?}");
    assert!(matches!(resend.recovery(), Recovery::Key { lives } if lives.as_secs() == 86_400));
    assert_sent(&resend.send(&mail).await, Some("m-1"));
    let asked = api.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(
        asked[0].header("idempotency-key"),
        asked[1].header("idempotency-key")
    );
    assert_eq!(asked[0].body, asked[1].body);
}
