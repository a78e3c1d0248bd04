//! E-mail over a real SMTP server, and over one that breaks off at each point of the conversation.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use notifier::port::{Address, Outcome, Provider, Recovery};
use notifier::providers::Smtp;
use service_kit::settings::SmtpSettings;
use testkit::MailServer;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::{assert_sent, cause, message};

fn at(url: String) -> Smtp {
    service_kit::crypto::install().unwrap();
    Smtp::new(&SmtpSettings {
        url: url.into(),
        from: "Corner Shop <shop@example.com>".into(),
    })
    .unwrap()
}

fn to(address: &str) -> Address {
    Address::Email {
        address: address.into(),
        name: Some("Ada\r\nBcc: eve@example.org".into()),
    }
}

#[tokio::test]
async fn a_mail_arrives_with_both_forms_its_id_and_its_order() {
    let server = tokio::task::spawn_blocking(MailServer::shared)
        .await
        .unwrap();
    let smtp = at(server.url());
    let address = format!("ada-{}@example.org", Uuid::now_v7().simple());
    let mail = message(to(&address));
    assert_sent(&smtp.send(&mail).await, None);
    let arrived = server.mail_to(&address, 1).await;
    assert_eq!(
        arrived.subject,
        format!("Order on its way: {}", mail.order_id.unwrap())
    );
    let header = |name: &str| arrived.header(name).unwrap_or_default();
    assert_eq!(
        header("Message-ID"),
        format!("<{}@example.com>", mail.delivery_id)
    );
    assert_eq!(header("Waybill-Order"), mail.order_id.unwrap().to_string());
    assert!(header("Content-Type").starts_with("multipart/alternative"));
    assert!(header("To").contains(&address), "{}", header("To"));
    assert_eq!(arrived.header("Bcc"), None);
    for form in ["text/plain", "text/html", "<!doctype html>"] {
        assert!(arrived.text.contains(form), "{form} in {}", arrived.text);
    }
}

#[tokio::test]
async fn an_address_that_the_server_refuses_is_rejected_and_one_that_is_none_too() {
    let server = tokio::task::spawn_blocking(MailServer::shared)
        .await
        .unwrap();
    let smtp = at(server.url());
    for (address, why) in [
        ("refused@example.org", "smtp_550"),
        ("nobody at all", "unusable_address"),
    ] {
        let outcome = smtp.send(&message(to(address))).await;
        let expected = Outcome::Rejected {
            cause: why.into(),
            gone: false,
        };
        assert_eq!(outcome, expected, "{address}");
    }
    assert_eq!(smtp.recovery(), Recovery::Nothing);
}

/// Serves conversations by a script: for each command that the client sends, the answer; without one it hangs up.
async fn scripted(script: &'static [(&'static str, &'static str)]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let conversations = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&conversations);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let _gone = stream.write_all(b"220 ready\r\n").await;
                let mut line = String::new();
                let mut in_mail = false;
                while stream.read_line(&mut line).await.is_ok_and(|got| got > 0) {
                    let said = line.trim_end().to_owned();
                    line.clear();
                    let command = if in_mail {
                        if said != "." {
                            continue;
                        }
                        "."
                    } else {
                        said.split([' ', ':']).next().unwrap_or_default()
                    };
                    let Some((_, answer)) = script.iter().find(|(name, _)| *name == command) else {
                        return;
                    };
                    in_mail = command == "DATA" && answer.starts_with('3');
                    let _gone = stream.write_all(format!("{answer}\r\n").as_bytes()).await;
                }
            });
        }
    });
    (url, conversations)
}

const EHLO: (&str, &str) = ("EHLO", "250 here");
const MAIL: (&str, &str) = ("MAIL", "250 ok");
const RCPT: (&str, &str) = ("RCPT", "250 ok");
const DATA: (&str, &str) = ("DATA", "354 go on");

#[tokio::test]
async fn how_far_the_conversation_came_decides_what_is_known() {
    type Script = &'static [(&'static str, &'static str)];
    const TABLE: [(Script, &str); 13] = [
        (&[], "transient not_connected"),
        (&[EHLO], "transient not_connected"),
        (&[EHLO, ("MAIL", "421 come back")], "transient smtp_421"),
        // Who may send is between the shop and its server.
        (&[EHLO, ("MAIL", "550 not you")], "transient smtp_550"),
        (&[EHLO, MAIL], "transient not_connected"),
        (&[EHLO, MAIL, ("RCPT", "450 busy")], "transient smtp_450"),
        (
            &[EHLO, MAIL, ("RCPT", "530 sign in first")],
            "transient smtp_530",
        ),
        (&[EHLO, MAIL, ("RCPT", "551 nobody")], "rejected smtp_551"),
        (&[EHLO, MAIL, RCPT], "transient not_connected"),
        (&[EHLO, MAIL, RCPT, ("DATA", "554 no")], "rejected smtp_554"),
        // The mail was handed over: a code is an answer, a broken line is none.
        (
            &[EHLO, MAIL, RCPT, DATA, (".", "451 later")],
            "transient smtp_451",
        ),
        (
            &[EHLO, MAIL, RCPT, DATA, (".", "552 too much")],
            "rejected smtp_552",
        ),
        (&[EHLO, MAIL, RCPT, DATA], "unknown no_answer"),
    ];
    for (script, meaning) in TABLE {
        let (url, conversations) = scripted(script).await;
        let outcome = at(url).send(&message(to("ada@example.org"))).await;
        let kind = match outcome {
            Outcome::Sent { .. } => "sent",
            Outcome::Rejected { .. } => "rejected",
            Outcome::Transient { .. } => "transient",
            Outcome::Unknown { .. } | Outcome::KeyInUse { .. } => "unknown",
        };
        assert_eq!(format!("{kind} {}", cause(&outcome)), meaning, "{script:?}");
        assert_eq!(conversations.load(Ordering::SeqCst), 1, "{script:?}");
    }
}
