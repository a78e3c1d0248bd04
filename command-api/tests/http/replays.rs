//! Messages sent once more, at a door that passes this on. With a real notifier behind it, it is the whole program's
//! tests' turn.

use std::sync::Arc;

use dev_servers::NatsServer;
use event_store::InMemoryStore;
use futures::StreamExt;
use http::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::shop::Shop;

/// Answers every question under a subject in the same way, and tells what was asked: the subject, `Command-Id`, the body.
async fn desk(
    client: &async_nats::Client,
    subject: &'static str,
    answer: Value,
) -> mpsc::UnboundedReceiver<(String, Value)> {
    let mut questions = client.subscribe(subject).await.unwrap();
    client.flush().await.unwrap();
    let (tell, told) = mpsc::unbounded_channel();
    let client = client.clone();
    tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            let headers = question.headers.unwrap_or_default();
            let command = headers.get("Command-Id").map(ToString::to_string);
            let body = serde_json::from_slice(&question.payload).unwrap();
            tell.send((command.unwrap_or_default(), body)).unwrap();
            let answer = answer.to_string().into();
            client
                .publish(question.reply.unwrap(), answer)
                .await
                .unwrap();
        }
    });
    told
}

async fn shop() -> (NatsServer, async_nats::Client, Shop) {
    let server = tokio::task::spawn_blocking(|| NatsServer::temporary().unwrap())
        .await
        .unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    event_store::topology::migrate(&client, 1).await.unwrap();
    let database = dev_servers::fresh_database().await.unwrap();
    let shop = Shop::over(Arc::new(InMemoryStore::new()), client.clone(), &database).await;
    (server, client, shop)
}

fn period() -> Value {
    json!({"from": "2026-11-21T08:00:00Z", "to": "2026-11-21T09:00:00Z"})
}

#[tokio::test]
async fn what_is_to_be_sent_once_more_is_passed_on_to_the_notifier_under_the_commands_id() {
    let (_server, client, shop) = shop().await;
    let (message, history) = (Uuid::now_v7(), Uuid::now_v7());
    let partner = shop.selling_partner().await;
    let _projector = desk(&client, "inbox.delivery", json!({"history_id": history})).await;
    let replayed = json!({"replayed": 3, "more": true, "dry_run": false});
    let mut notifier = desk(&client, "notifications.replay", replayed).await;

    let path = format!("/v1/notification-deliveries/{message}/replay");
    let mut commands = Vec::new();
    for _ in 0..2 {
        let told = shop.admin(Method::POST, &path).key("again").send().await;
        assert_eq!(told.status, 202, "{told:#?}");
        assert_eq!(told.body, json!({"replayed": 3, "more": true}));
        assert_eq!(
            told.header("location"),
            format!("/v1/notification-deliveries/{message}")
        );
        let (command, asked) = notifier.recv().await.unwrap();
        assert_eq!(
            asked,
            json!({"delivery_id": message, "history_id": history})
        );
        commands.push(command);
    }
    assert_eq!(commands[0], commands[1], "a repeat is the same command");

    let path = format!("/v1/partners/{partner}/webhooks/replay");
    let told = shop.admin(Method::POST, &path).json(&period()).send().await;
    assert_eq!(told.status, 202, "{told:#?}");
    let (command, asked) = notifier.recv().await.unwrap();
    assert_ne!(command, commands[0]);
    assert_eq!(asked["partner_id"], json!(partner));
    assert_eq!(
        (&asked["from"], &asked["to"]),
        (&period()["from"], &period()["to"])
    );
}

#[tokio::test]
async fn without_a_notifier_the_caller_is_told_that_nothing_was_ordered() {
    let (_server, client, shop) = shop().await;
    let partner = shop.selling_partner().await;
    let end = shop.log_end().await;
    let one = format!("/v1/notification-deliveries/{}/replay", Uuid::now_v7());
    let told = shop.admin(Method::POST, &one).send().await;
    told.is_problem(503, "projector_unavailable");
    let _projector = desk(&client, "inbox.delivery", json!({"history_id": partner})).await;
    let path = format!("/v1/partners/{partner}/webhooks/replay");
    let period = period();
    for ask in [
        shop.admin(Method::POST, &one),
        shop.admin(Method::POST, &path).json(&period),
    ] {
        let told = ask.send().await;
        told.is_problem(503, "notifier_unavailable");
        assert!(told.header("retry-after").parse::<u64>().unwrap() > 0);
    }
    assert_eq!(shop.log_end().await, end);
}

#[tokio::test]
async fn an_unknown_partner_and_a_period_that_ends_before_it_begins_are_refused_before_anybody_is_asked()
 {
    let shop = Shop::open().await;
    let partner = shop.selling_partner().await;
    let ask = async |partner: Uuid, body: &Value| {
        let path = format!("/v1/partners/{partner}/webhooks/replay");
        shop.admin(Method::POST, &path).json(body).send().await
    };
    ask(Uuid::now_v7(), &period())
        .await
        .is_problem(404, "not_found");
    let backwards = json!({"from": period()["to"], "to": period()["from"]});
    ask(partner, &backwards).await.names("/to", "invalid");
    let soon = json!({"from": "yesterday", "to": period()["to"]});
    ask(partner, &soon).await.names("/from", "invalid");
    ask(partner, &json!({"from": period()["from"]}))
        .await
        .names("/to", "required");
}
