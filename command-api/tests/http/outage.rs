//! Broker or database away: a documented 503 in time, nothing half done, and the same command works afterwards.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dev_servers::{NatsServer, Postgres};
use event_store::{InMemoryStore, JetStreamStore};
use http::Method;
use serde_json::json;
use uuid::Uuid;

use crate::auth;
use crate::lost::LosingStore;
use crate::shop::{QUOTE_TTL, Reply, Shop, basket, by_card, customer};
use crate::webhooks;

/// A request may take this long; the server's own limit around every request.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
const BACK_LIMIT: Duration = Duration::from_secs(30);
const POLL_PERIOD: Duration = Duration::from_millis(200);

async fn own_broker() -> (NatsServer, async_nats::Client) {
    let server = tokio::task::spawn_blocking(|| NatsServer::temporary().unwrap())
        .await
        .unwrap();
    let client = async_nats::ConnectOptions::new()
        .request_timeout(Some(Duration::from_secs(5)))
        .max_reconnects(None)
        .connect(server.url())
        .await
        .unwrap();
    event_store::topology::migrate(&client, 1).await.unwrap();
    (server, client)
}

#[track_caller]
fn is_away(reply: &Reply, since: Instant, code: &str) {
    reply.is_problem(503, code);
    assert!(reply.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert!(
        since.elapsed() < REQUEST_LIMIT,
        "the answer took {:?}",
        since.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_broker_commands_are_refused_in_time_and_work_again_once_with_it() {
    let (server, client) = own_broker().await;
    let database = dev_servers::fresh_database().await.unwrap();
    let store = Arc::new(JetStreamStore::connect(client.clone()).await.unwrap());
    let shop = Shop::over(store, client, &database).await;
    let (ada, partner) = (Uuid::now_v7(), shop.selling_partner().await);
    let mug = shop.offered_product(partner, 1999, 10).await;
    let quote = shop.quote(ada, partner, mug, 1).await;
    let end = shop.log_end().await;

    server.kill9();
    let asks = async {
        let path = format!("/v1/inventory/{mug}/receive");
        let since = Instant::now();
        let body = json!({"quantity": 5});
        let add = customer("ada@example.org");
        let question = basket(partner, &[(mug, 1)]);
        let card = by_card(quote);
        let event = webhooks::authorised("evt_1", &quote.to_string());
        let replies = tokio::join!(
            shop.admin(Method::POST, &path)
                .key("r-1")
                .json(&body)
                .send(),
            shop.admin(Method::POST, "/v1/customers")
                .key("c-1")
                .json(&add)
                .send(),
            shop.place(ada, "o-1", &card),
            shop.check(ada, &question),
            webhooks::call(&shop, &event),
        );
        for reply in [replies.0, replies.1, replies.2, replies.3, replies.4] {
            is_away(&reply, since, "broker_unavailable");
        }
    };
    asks.await;
    server.restart().unwrap();

    let since = Instant::now();
    let placed = loop {
        let placed = shop.place(ada, "o-1", &by_card(quote)).await;
        if placed.status == 202 {
            break placed;
        }
        assert_eq!(placed.status, 503, "{placed:#?}");
        assert!(
            since.elapsed() < BACK_LIMIT,
            "the broker is back, the commands are not: {placed:#?}"
        );
        tokio::time::sleep(POLL_PERIOD).await;
    };
    let path = format!("/v1/inventory/{mug}/receive");
    let received = shop
        .admin(Method::POST, &path)
        .key("r-1")
        .json(&json!({"quantity": 5}))
        .send()
        .await;
    assert_eq!(
        (received.status.as_u16(), &received.body["received"]),
        (200, &json!(15)),
        "{received:#?}"
    );
    let again = shop.place(ada, "o-1", &by_card(quote)).await;
    assert_eq!(
        (&again.body, again.position()),
        (&placed.body, placed.position())
    );
    let types = shop.types().await.split_off(usize::try_from(end).unwrap());
    let count = |wanted: &str| types.iter().filter(|kind| *kind == wanted).count();
    assert_eq!(
        (count("order.placed"), count("inventory.received")),
        (1, 1),
        "{types:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_nobody_is_added_and_what_needs_the_log_only_goes_on() {
    let postgres = tokio::task::spawn_blocking(|| Postgres::temporary().unwrap())
        .await
        .unwrap();
    let nats = tokio::task::spawn_blocking(|| dev_servers::shared_nats().unwrap().url())
        .await
        .unwrap();
    let client = async_nats::connect(nats).await.unwrap();
    event_store::topology::migrate(&client, 1).await.unwrap();
    let database = postgres.fresh_database().await.unwrap();
    let shop = Shop::over(Arc::new(InMemoryStore::new()), client, &database).await;
    let (ada, partner) = (Uuid::now_v7(), shop.selling_partner().await);
    let mug = shop.offered_product(partner, 1999, 10).await;
    let quote = shop.quote(ada, partner, mug, 1).await;
    let eve = auth::signed_in(&shop).await;
    let end = shop.log_end().await;

    let stopped = tokio::task::spawn_blocking(move || {
        postgres.kill9();
        postgres
    });
    let postgres = stopped.await.unwrap();
    let since = Instant::now();
    let added = shop
        .admin(Method::POST, "/v1/customers")
        .key("c-1")
        .json(&customer("ada@example.org"))
        .send()
        .await;
    is_away(&added, since, "database_unavailable");
    // Somebody whose key is not at hand cannot be given a quote; nothing of his would be sealed.
    let bob = shop
        .check(Uuid::now_v7(), &basket(partner, &[(mug, 1)]))
        .await;
    is_away(&bob, since, "database_unavailable");
    // Nobody signs up or in, and nobody is told that his password or token were wrong.
    for (path, body) in [
        ("/v1/auth/register", auth::sign_up("new@example.org")),
        (
            "/v1/auth/login",
            json!({"email": eve.email, "password": "correct horse battery"}),
        ),
        ("/v1/auth/refresh", json!({"refresh_token": eve.refresh})),
    ] {
        let since = Instant::now();
        let reply = shop.post(path, &body).await;
        is_away(&reply, since, "database_unavailable");
    }
    assert!(
        shop.lets_in(&eve.access).await,
        "a token is checked without the database"
    );
    assert_eq!(shop.log_end().await, end);

    let placed = shop.place(ada, "o-1", &by_card(quote)).await;
    assert_eq!(placed.status, 202, "{placed:#?}");
    let event = webhooks::authorised("evt_1", &placed.id().to_string());
    let told = webhooks::call(&shop, &event).await;
    assert_eq!(told.status, 200, "{told:#?}");
    assert_eq!(
        shop.types().await.last().unwrap(),
        "payment.callback_recorded"
    );
    let cancelled = shop
        .customer(
            ada,
            Method::POST,
            &format!("/v1/orders/{}/cancel", placed.id()),
        )
        .send()
        .await;
    assert_eq!(cancelled.status, 202, "{cancelled:#?}");
    shop.receive(mug, 1).await;

    // Kept: a server stops when its handle is dropped.
    let _postgres = tokio::task::spawn_blocking(move || {
        postgres.restart().unwrap();
        postgres
    })
    .await
    .unwrap();
    let since = Instant::now();
    loop {
        let added = shop
            .admin(Method::POST, "/v1/customers")
            .key("c-1")
            .json(&customer("ada@example.org"))
            .send()
            .await;
        if added.status == 201 {
            break;
        }
        assert_eq!(added.status, 503, "{added:#?}");
        assert!(
            since.elapsed() < BACK_LIMIT,
            "the database is back, the command is not: {added:#?}"
        );
        tokio::time::sleep(POLL_PERIOD).await;
    }
}

#[tokio::test]
async fn an_order_whose_append_was_lost_keeps_its_quote_and_its_retry_goes_on_even_after_the_quotes_time()
 {
    let nats = tokio::task::spawn_blocking(|| dev_servers::shared_nats().unwrap().url())
        .await
        .unwrap();
    let client = async_nats::connect(nats).await.unwrap();
    event_store::topology::migrate(&client, 1).await.unwrap();
    let database = dev_servers::fresh_database().await.unwrap();
    let store = Arc::new(LosingStore::default());
    let shop = Shop::over(Arc::clone(&store) as _, client, &database).await;
    let (ada, partner) = (Uuid::now_v7(), shop.selling_partner().await);
    let mug = shop.offered_product(partner, 1999, 10).await;
    let quote = shop.quote(ada, partner, mug, 1).await;
    let end = shop.log_end().await;

    store.lose_next();
    shop.place(ada, "o-1", &by_card(quote))
        .await
        .is_problem(503, "broker_unavailable");
    assert_eq!(shop.log_end().await, end);
    shop.place(ada, "o-2", &by_card(quote))
        .await
        .is_problem(409, "quote_used");
    shop.clock.advance(QUOTE_TTL * 2);
    shop.place(ada, "o-2", &by_card(quote))
        .await
        .is_problem(409, "quote_used");
    let placed = shop.place(ada, "o-1", &by_card(quote)).await;
    assert_eq!(placed.status, 202, "{placed:#?}");
    assert_eq!(placed.position(), end + 4);
}
