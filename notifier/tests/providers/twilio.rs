//! Text messages by Twilio's API.

use notifier::port::{Address, Found, Outcome, Outgoing, Provider, Recovery};
use notifier::providers::Twilio;
use service_kit::settings::SmsSettings;

use crate::server::{Act, Server, json};
use crate::{assert_sent, message};

pub fn at(url: &str) -> Twilio {
    from(url, "+15550100")
}

fn from(url: &str, from: &str) -> Twilio {
    service_kit::crypto::install().unwrap();
    Twilio::new(&SmsSettings {
        url: url.into(),
        account: "AC42".into(),
        token: "tw_secret".into(),
        from: from.into(),
    })
    .unwrap()
}

pub fn phone() -> Address {
    Address::Phone("+49 30 901820".into())
}

fn reference(message: &Outgoing) -> String {
    format!(" Ref {}", &message.delivery_id.simple().to_string()[..8])
}

/// A page of the list, newest first: text and age in minutes of each message.
fn page(messages: &[(&str, i64)], next: Option<&str>) -> Act {
    let messages: Vec<_> = messages
        .iter()
        .enumerate()
        .map(|(n, (body, minutes))| {
            let at = jiff::Zoned::now() - jiff::SignedDuration::from_mins(*minutes);
            serde_json::json!({
                "sid": format!("SM{n}"), "body": body, "status": "queued", "date_sent": null,
                "date_created": jiff::fmt::rfc2822::to_string(&at.with_time_zone(jiff::tz::TimeZone::UTC)).unwrap(),
            })
        })
        .collect();
    let body = serde_json::json!({ "messages": messages, "next_page_uri": next });
    json(200, &body.to_string())
}

#[tokio::test]
async fn a_text_is_posted_as_a_form_under_the_accounts_name_and_ends_in_its_reference() {
    let api = Server::doing([json(201, r#"{"sid":"SM1","status":"queued"}"#)]).await;
    let text = message(phone());
    assert_sent(&at(&api.url).send(&text).await, Some("SM1"));
    let asked = &api.asked()[0];
    assert_eq!(asked.line, "POST /2010-04-01/Accounts/AC42/Messages.json");
    // AC42:tw_secret
    assert_eq!(
        asked.header("authorization"),
        Some("Basic QUM0Mjp0d19zZWNyZXQ=")
    );
    assert!(
        asked
            .text()
            .starts_with("To=%2B4930901820&From=%2B15550100&Body=Corner+Shop%3A+Your+order+"),
        "{}",
        asked.text()
    );
    assert!(
        asked.text().ends_with(&reference(&text).replace(' ', "+")),
        "{}",
        asked.text()
    );
}

#[tokio::test]
async fn a_messaging_service_is_named_as_one() {
    let api = Server::doing([json(201, r#"{"sid":"SM1"}"#)]).await;
    assert_sent(
        &from(&api.url, "MG7").send(&message(phone())).await,
        Some("SM1"),
    );
    assert!(api.asked()[0].text().contains("&MessagingServiceSid=MG7&"));
}

#[tokio::test]
async fn a_text_whose_answer_was_lost_is_found_by_its_reference_among_others_on_a_later_page() {
    let text = message(phone());
    let ours = format!("Waybill: hello.{}", reference(&text));
    let api = Server::doing([
        Act::HangUp,
        page(
            &[("another", 0), ("yet another", 1)],
            Some("/2010-04-01/next?Page=1"),
        ),
        page(&[("one more", 1), (&ours, 1)], None),
    ])
    .await;
    let twilio = at(&api.url);
    let lost = twilio.send(&text).await;
    assert!(matches!(lost, Outcome::Unknown { .. }), "{lost:?}");
    assert_eq!(twilio.recovery(), Recovery::LookUp);
    let found = twilio.look_up(&text).await;
    assert_eq!(
        found,
        Found::Sent {
            provider_id: Some("SM1".into())
        }
    );
    let asked = api.asked();
    assert_eq!(
        asked[1].line,
        "GET /2010-04-01/Accounts/AC42/Messages.json?To=%2B4930901820&PageSize=100"
    );
    assert_eq!(asked[2].line, "GET /2010-04-01/next?Page=1");
}

#[tokio::test]
async fn a_text_that_is_not_in_the_list_right_after_the_call_may_still_get_there() {
    let text = message(phone());
    let api = Server::doing([page(&[], None)]).await;
    assert_eq!(at(&api.url).look_up(&text).await, Found::Unknown);
}

#[tokio::test]
async fn a_list_that_cannot_be_read_says_nothing() {
    for act in [
        Act::HangUp,
        json(500, "{}"),
        json(401, r#"{"code":20003}"#),
        json(200, "<html>hello</html>"),
    ] {
        let api = Server::doing([act]).await;
        assert_eq!(
            at(&api.url).look_up(&message(phone())).await,
            Found::Unknown
        );
    }
}

#[tokio::test]
async fn the_list_is_read_back_to_the_intent_and_not_into_other_peoples_hands() {
    let text = message(phone());
    // Older messages are behind this page; and a next page elsewhere is none.
    for next in ["/2010-04-01/next", "http://elsewhere.example/"] {
        let api = Server::doing([page(&[("old", 200)], Some(next))]).await;
        assert_eq!(at(&api.url).look_up(&text).await, Found::Unknown);
        assert_eq!(api.asked().len(), 1, "{next}");
    }
    let endless = Server::doing((0..20).map(|_| page(&[("x", 0)], Some("/next")))).await;
    assert_eq!(at(&endless.url).look_up(&text).await, Found::Unknown);
    assert!(endless.asked().len() <= 6, "{}", endless.asked().len());
}
