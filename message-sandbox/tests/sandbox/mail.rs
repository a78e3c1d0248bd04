//! Mail by SMTP, sent by the library that the shop sends it with.

use lettre::message::MultiPart;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use serde_json::json;

use crate::house::House;

fn transport(house: &House) -> AsyncSmtpTransport<Tokio1Executor> {
    AsyncSmtpTransport::<Tokio1Executor>::from_url(&format!("smtp://{}", house.smtp))
        .unwrap()
        .build()
}

fn mail() -> Message {
    let parts = MultiPart::alternative_plain_html(
        "Grüße, Ada!\n.\nYour code is 123456".to_owned(),
        "<p>Grüße, <b>Ada</b>!</p><script>alert(1)</script>".to_owned(),
    );
    Message::builder()
        .from("Waybill <no-reply@shop.example>".parse().unwrap())
        .to("Ada Byron <ada@example.com>".parse().unwrap())
        .subject("Your order – größer")
        .message_id(Some("<d-1@shop.example>".to_owned()))
        .multipart(parts)
        .unwrap()
}

#[tokio::test]
async fn a_mail_is_shown_with_text_html_and_headers_as_they_were_sent() {
    let house = House::open().await;
    transport(&house).send(mail()).await.unwrap();
    let arrived = house.messages("?channel=email&to=ada").await;
    let [mail] = arrived.as_slice() else {
        panic!("{arrived:?}");
    };
    assert_eq!(mail["to"], "ada@example.com");
    assert_eq!(mail["from"], "no-reply@shop.example");
    assert_eq!(mail["subject"], "Your order – größer");
    let text = mail["text"].as_str().unwrap();
    assert!(
        text.contains("Grüße, Ada!") && text.contains("\n.\r\n") || text.contains("\n.\n"),
        "{text:?}"
    );
    assert!(mail["html"].as_str().unwrap().contains("<b>Ada</b>"));
    assert_eq!(mail["headers"]["Message-ID"], "<d-1@shop.example>");

    let page = house.get("/messages").await;
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let html = page.text().await.unwrap();
    assert!(html.contains("Your order – größer") && html.contains("123456"));
    assert!(html.contains("<iframe sandbox srcdoc=") && !html.contains("<script>"));
    assert!(
        !html.contains("http://") && !html.contains("https://"),
        "it needs nothing from elsewhere"
    );
}

#[tokio::test]
async fn many_mails_go_over_one_connection_and_over_many_at_once() {
    let house = House::open().await;
    let transport = transport(&house);
    let sending = (0..40).map(|_| transport.send(mail()));
    for sent in futures::future::join_all(sending).await {
        sent.unwrap();
    }
    assert_eq!(house.messages("?channel=email").await.len(), 40);
}

#[tokio::test]
async fn a_mail_server_that_is_busy_refuses_or_falls_silent_is_known_as_such_by_the_library() {
    let house = House::open().await;
    for (failure, transient) in [("429", true), ("503", true), ("reject", false)] {
        house
            .faults(&json!({"channel": "email", "fail_every": 1, "fail_as": [failure]}))
            .await;
        let error = transport(&house).send(mail()).await.unwrap_err();
        assert_eq!(
            (error.is_transient(), error.is_permanent()),
            (transient, !transient),
            "{failure}"
        );
    }
    assert!(house.messages("").await.is_empty());
    house
        .faults(&json!({"channel": "email", "fail_every": 1, "fail_as": ["drop_after"]}))
        .await;
    let error = transport(&house).send(mail()).await.unwrap_err();
    assert!(!error.is_transient() && !error.is_permanent(), "{error:?}");
    assert_eq!(house.messages("").await.len(), 1, "it was taken");
    house
        .faults(&json!({"channel": "email", "dead": ["ada@example.com"]}))
        .await;
    assert!(
        transport(&house)
            .send(mail())
            .await
            .unwrap_err()
            .is_permanent()
    );
}
