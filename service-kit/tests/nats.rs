//! The connection to NATS against a real server: comes up late, comes back after a restart, keeps inboxes apart.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::time::Duration;

use futures::StreamExt;
use service_kit::{Settings, SettingsArgs, nats};

fn settings(url: &str) -> Settings {
    SettingsArgs {
        nats_url: Some(url.to_owned()),
        ..SettingsArgs::default()
    }
    .resolve()
    .unwrap()
}

#[tokio::test]
async fn a_role_asks_and_is_answered_in_an_inbox_of_its_own() {
    let server = dev_servers::shared_nats().unwrap();
    let client = nats::connect(&settings(&server.url()), "saga-orchestrator")
        .await
        .unwrap();
    let mut questions = client.subscribe("service_kit.question").await.unwrap();
    client.flush().await.unwrap();
    let answering = client.clone();
    let answer = tokio::spawn(async move {
        let question = questions.next().await.unwrap();
        let inbox = question.reply.unwrap();
        answering
            .publish(inbox.clone(), "yes".into())
            .await
            .unwrap();
        inbox
    });
    let said = client
        .request("service_kit.question", "?".into())
        .await
        .unwrap();
    assert_eq!(said.payload, "yes");
    let inbox = answer.await.unwrap();
    assert!(inbox.starts_with("_INBOX_saga_orchestrator."), "{inbox}");
}

#[tokio::test]
async fn the_token_of_an_address_is_shown_to_the_server() {
    let options = |options: dev_servers::NatsOptions| options.with_token("right");
    let server = dev_servers::NatsServer::temporary_with(options).unwrap();
    nats::connect(&settings(&server.url()), "test")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_wrong_token_is_refused_at_once_instead_of_after_a_minute() {
    let options = |options: dev_servers::NatsOptions| options.with_token("right");
    let server = dev_servers::NatsServer::temporary_with(options).unwrap();
    let url = server.url();
    let address = url.rsplit(['@', '/']).next().unwrap();
    let wrong = settings(&format!("nats://wrong@{address}"));
    let connecting = nats::connect(&wrong, "test");
    let error = tokio::time::timeout(Duration::from_secs(20), connecting)
        .await
        .expect("must not wait for a server that has answered")
        .unwrap_err();
    assert!(
        matches!(error, nats::ConnectError::Refused { .. }),
        "{error}"
    );
    assert!(
        !error.to_string().contains("wrong"),
        "a token must not be shown: {error}"
    );
}

#[tokio::test]
async fn a_server_that_goes_away_and_comes_back_is_found_again_and_asked_again() {
    let server = dev_servers::NatsServer::temporary().unwrap();
    let client = nats::connect(&settings(&server.url()), "test")
        .await
        .unwrap();
    server.kill9();
    // While it is away a question fails within its limit instead of waiting for ever.
    let asked = tokio::time::timeout(
        Duration::from_secs(20),
        client.request("nobody", "?".into()),
    );
    assert!(asked.await.expect("a question must have a limit").is_err());
    server.restart().unwrap();
    let mut messages = client.subscribe("service_kit.back").await.unwrap();
    let back = async {
        loop {
            client
                .publish("service_kit.back", "here".into())
                .await
                .unwrap();
            let next = tokio::time::timeout(Duration::from_millis(200), messages.next());
            if let Ok(Some(message)) = next.await {
                return message;
            }
        }
    };
    let message = tokio::time::timeout(Duration::from_secs(20), back)
        .await
        .unwrap();
    assert_eq!(message.payload, "here");
}

#[tokio::test]
async fn a_role_that_starts_before_its_server_waits_for_it() {
    let server = dev_servers::NatsServer::temporary().unwrap();
    let settings = settings(&server.url());
    server.kill9();
    let connecting = tokio::spawn(async move { nats::connect(&settings, "test").await });
    tokio::task::yield_now().await;
    assert!(!connecting.is_finished());
    server.restart().unwrap();
    let client = tokio::time::timeout(Duration::from_secs(20), connecting)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    client.flush().await.unwrap();
}
