//! What people do with their inboxes, at a door that asks somebody else whose a notification is. With a real projector
//! behind it, it is the whole program's tests' turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dev_servers::NatsServer;
use event_store::InMemoryStore;
use futures::StreamExt;
use http::Method;
use serde_json::{Value, json};
use service_kit::Role;
use uuid::Uuid;

use crate::shop::{Reply, Shop};

/// A notification, and who may see it.
#[derive(Clone, Copy)]
struct Notice {
    id: Uuid,
    whose: Uuid,
    position: u64,
}

/// Answers as the projector does, for these notifications, and counts the questions.
struct Projector {
    asked: Arc<AtomicUsize>,
}

impl Projector {
    async fn knows(client: &async_nats::Client, notices: Vec<Notice>) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let mut questions = client.subscribe("inbox.*").await.unwrap();
        client.flush().await.unwrap();
        let (client, count) = (client.clone(), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Some(question) = questions.next().await {
                count.fetch_add(1, Ordering::SeqCst);
                let body: Value = serde_json::from_slice(&question.payload).unwrap();
                let own = notices
                    .iter()
                    .filter(|notice| body["person"] == json!(notice.whose));
                let found = match question.subject.as_str() {
                    "inbox.newest" => own.map(|notice| notice.position).max(),
                    _ => own
                        .filter(|notice| body["notification_id"] == json!(notice.id))
                        .map(|notice| notice.position)
                        .next(),
                };
                let mut headers = async_nats::HeaderMap::new();
                if found.is_none() && question.subject.as_str() == "inbox.find" {
                    headers.insert("Nats-Service-Error-Code", "404");
                    headers.insert("Nats-Service-Error", "there is no such notification");
                }
                let answer = json!({"position": found}).to_string().into();
                let to = question.reply.unwrap();
                client
                    .publish_with_headers(to, headers, answer)
                    .await
                    .unwrap();
            }
        });
        Self { asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A shop with a broker of its own, where nobody else answers.
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

fn notice(whose: Uuid, position: u64) -> Notice {
    Notice {
        id: Uuid::now_v7(),
        whose,
        position,
    }
}

async fn read(shop: &Shop, who: Uuid, id: Uuid) -> Reply {
    let path = format!("/v1/notifications/{id}/read");
    shop.customer(who, Method::POST, &path).send().await
}

async fn clear(shop: &Shop, who: Uuid, id: Uuid) -> Reply {
    let path = format!("/v1/notifications/{id}");
    shop.customer(who, Method::DELETE, &path).send().await
}

async fn clear_all(shop: &Shop, who: Uuid, through: Option<u64>) -> Reply {
    let path = match through {
        Some(through) => format!("/v1/notifications?through={through}"),
        None => "/v1/notifications".to_owned(),
    };
    shop.customer(who, Method::DELETE, &path).send().await
}

#[tokio::test]
async fn a_notification_is_read_and_cleared_once_and_a_repeat_asks_nobody() {
    let (_server, client, shop) = shop().await;
    let ada = Uuid::now_v7();
    let (one, other) = (notice(ada, 1), notice(ada, 2));
    let projector = Projector::knows(&client, vec![one, other]).await;
    let first = read(&shop, ada, one.id).await;
    assert_eq!((first.status.as_u16(), first.position()), (204, 1));
    let again = read(&shop, ada, one.id).await;
    assert_eq!((again.status.as_u16(), again.position()), (204, 1));
    assert_eq!(projector.asked(), 1);

    let cleared = clear(&shop, ada, one.id).await;
    assert_eq!((cleared.status.as_u16(), cleared.position()), (204, 2));
    let again = clear(&shop, ada, one.id).await;
    assert_eq!((again.status.as_u16(), again.position()), (204, 2));
    assert_eq!(projector.asked(), 1);
    read(&shop, ada, one.id).await.is_problem(404, "not_found");
    // One that was never read can be cleared too.
    assert_eq!(clear(&shop, ada, other.id).await.status, 204);
    assert_eq!(
        shop.types().await,
        ["inbox.read", "inbox.cleared", "inbox.cleared"]
    );
}

#[tokio::test]
async fn what_is_somebody_elses_or_nothing_is_404_and_leaves_nothing() {
    let (_server, client, shop) = shop().await;
    let (ada, eve) = (Uuid::now_v7(), Uuid::now_v7());
    let hers = notice(ada, 1);
    Projector::knows(&client, vec![hers]).await;
    for (who, id) in [(eve, hers.id), (ada, Uuid::now_v7())] {
        read(&shop, who, id).await.is_problem(404, "not_found");
        clear(&shop, who, id).await.is_problem(404, "not_found");
    }
    let odd = shop
        .customer(ada, Method::DELETE, "/v1/notifications/me")
        .send()
        .await;
    odd.is_problem(404, "not_found");
    assert_eq!(shop.log_end().await, 0);
}

#[tokio::test]
async fn an_inbox_is_emptied_up_to_what_was_seen_and_never_beyond_the_log() {
    let (_server, client, shop) = shop().await;
    let ada = Uuid::now_v7();
    let told: Vec<Notice> = (1..=3).map(|position| notice(ada, position)).collect();
    let projector = Projector::knows(&client, told.clone()).await;
    clear_all(&shop, ada, Some(1))
        .await
        .is_problem(400, "position_unknown");
    // Something has to be in the log for a position to be known.
    for notice in &told {
        read(&shop, ada, notice.id).await;
    }
    let asked = projector.asked();
    let two = clear_all(&shop, ada, Some(2)).await;
    assert_eq!((two.status.as_u16(), two.position()), (204, 4));
    for through in [Some(2), Some(1), Some(0)] {
        let again = clear_all(&shop, ada, through).await;
        assert_eq!((again.status.as_u16(), again.position()), (204, 4));
    }
    assert_eq!(projector.asked(), asked, "who names a position asks nobody");
    read(&shop, ada, told[1].id)
        .await
        .is_problem(404, "not_found");
    assert_eq!(read(&shop, ada, told[2].id).await.status, 204);

    let all = clear_all(&shop, ada, None).await;
    assert_eq!((all.status.as_u16(), all.position()), (204, 5));
    let again = clear_all(&shop, ada, None).await;
    assert_eq!((again.status.as_u16(), again.position()), (204, 5));
    // Somebody who was never told anything has nothing to clear.
    let nobody = clear_all(&shop, Uuid::now_v7(), None).await;
    assert_eq!(nobody.status, 204);
    assert_eq!(shop.log_end().await, 5);
    clear_all(&shop, ada, Some(6))
        .await
        .is_problem(400, "position_unknown");
    let odd = shop.customer(ada, Method::DELETE, "/v1/notifications?through=soon");
    odd.send().await.is_problem(422, "invalid");
}

#[tokio::test]
async fn a_key_is_for_one_command_and_a_late_repeat_undoes_nothing() {
    let (_server, client, shop) = shop().await;
    let ada = Uuid::now_v7();
    let (one, other) = (notice(ada, 1), notice(ada, 2));
    Projector::knows(&client, vec![one, other]).await;
    let with_key = async |id: Uuid| {
        let path = format!("/v1/notifications/{id}");
        let request = shop.customer(ada, Method::DELETE, &path).key("k-1");
        request.send().await
    };
    let first = with_key(one.id).await;
    assert_eq!(first.status, 204);
    let again = with_key(one.id).await;
    assert_eq!(
        (again.status, again.position()),
        (first.status, first.position())
    );
    with_key(other.id)
        .await
        .is_problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn without_a_projector_the_caller_is_told_to_come_back_unless_nobody_has_to_be_asked() {
    let (_server, client, shop) = shop().await;
    let ada = Uuid::now_v7();
    let id = Uuid::now_v7();
    for told in [
        read(&shop, ada, id).await,
        clear(&shop, ada, id).await,
        clear_all(&shop, ada, None).await,
    ] {
        told.is_problem(503, "projector_unavailable");
        assert!(told.header("retry-after").parse::<u64>().unwrap() > 0);
    }
    assert_eq!(shop.log_end().await, 0);
    let hers = notice(ada, 1);
    Projector::knows(&client, vec![hers]).await;
    assert_eq!(read(&shop, ada, hers.id).await.status, 204);
    assert_eq!(clear_all(&shop, ada, Some(1)).await.status, 204);
}

#[tokio::test]
async fn everybody_has_an_inbox_of_his_own_whatever_his_role() {
    let (_server, client, shop) = shop().await;
    let people = Role::ALL.map(|role| (role, Uuid::now_v7()));
    let told = people.map(|(_, who)| notice(who, 1));
    Projector::knows(&client, told.to_vec()).await;
    for ((role, who), notice) in people.into_iter().zip(told) {
        let path = format!("/v1/notifications/{}/read", notice.id);
        let reply = shop.by(role, who, Method::POST, &path).send().await;
        assert_eq!(reply.status, 204, "{role}: {reply:#?}");
    }
    assert_eq!(shop.types().await, vec!["inbox.read"; people.len()]);
}
