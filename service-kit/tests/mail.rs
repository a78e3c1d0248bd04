//! Mail over a real SMTP conversation: delivered, refused, and a server that falls silent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::time::{Duration, Instant};

use service_kit::mail::{Mail, MailError, Mailer};
use service_kit::settings::SmtpSettings;
use testkit::MailServer;
use uuid::Uuid;

async fn server() -> &'static MailServer {
    service_kit::crypto::install().unwrap();
    tokio::task::spawn_blocking(MailServer::shared)
        .await
        .unwrap()
}

fn over(url: String) -> Mailer {
    Mailer::smtp(&SmtpSettings {
        url: url.into(),
        from: "Corner Shop <shop@example.com>".into(),
    })
    .unwrap()
}

fn to(address: &str) -> Mail {
    Mail {
        to: address.to_owned(),
        subject: "Your order".into(),
        text: "It is on its way.\n\nCode:\n12345678\n".into(),
    }
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_written_also_over_a_connection_that_was_kept() {
    let server = server().await;
    let mailer = over(server.url());
    let address = format!("ada-{}@example.org", Uuid::now_v7().simple());
    for count in 1..=3 {
        mailer.send(&to(&address)).await.unwrap();
        let arrived = server.mail_to(&address, count).await;
        assert_eq!(arrived.subject, "Your order");
        assert_eq!(arrived.code(), "12345678");
    }
}

#[tokio::test]
async fn an_address_that_the_server_refuses_is_told_apart_from_a_server_that_is_away() {
    let mailer = over(server().await.url());
    let refused = mailer.send(&to("refused@example.org")).await;
    assert!(matches!(refused, Err(MailError::Refused(_))), "{refused:?}");
    let no_address = mailer.send(&to("nobody at all")).await;
    assert!(
        matches!(no_address, Err(MailError::Unwritable(_))),
        "{no_address:?}"
    );
    // After a refusal the next mail goes through.
    let address = format!("bob-{}@example.org", Uuid::now_v7().simple());
    mailer.send(&to(&address)).await.unwrap();

    let nowhere = over(format!("smtp://127.0.0.1:{}", testkit::free_port()));
    let away = nowhere.send(&to(&address)).await;
    assert!(matches!(away, Err(MailError::Unavailable(_))), "{away:?}");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_left_after_a_while_and_the_outcome_is_unknown() {
    let mailer = over(server().await.url());
    let began = Instant::now();
    let silent = mailer.send(&to("slow@example.org")).await;
    assert!(matches!(silent, Err(MailError::Unknown)), "{silent:?}");
    assert!(began.elapsed() < Duration::from_secs(25));
}

#[tokio::test]
async fn without_a_server_a_mail_is_written_to_the_log_and_nothing_fails() {
    let log = Mailer::log();
    log.send(&to("anybody at all")).await.unwrap();
}

#[tokio::test]
async fn a_mail_in_the_background_arrives_and_one_to_nobody_is_none() {
    let server = server().await;
    let mailer = over(server.url());
    let address = format!("cid-{}@example.org", Uuid::now_v7().simple());
    let mail = to(&address);
    mailer.send_later(async move { Ok(None) });
    mailer.send_later(async move { Ok(Some(mail)) });
    server.mail_to(&address, 1).await;
}
