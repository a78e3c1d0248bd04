//! Two processes over one real log: what must happen once happens once, whichever of them is asked.

use std::collections::HashSet;
use std::sync::Arc;

use dev_servers::NatsServer;
use event_store::JetStreamStore;
use futures::future::join_all;
use http::Method;
use serde_json::json;
use uuid::Uuid;

use crate::shop::{Reply, Shop, by_card, customer, product};

const RACERS: usize = 32;

async fn two() -> (NatsServer, Shop, Shop) {
    let server = tokio::task::spawn_blocking(|| NatsServer::temporary().unwrap())
        .await
        .unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    event_store::topology::migrate(&client, 1).await.unwrap();
    let database = dev_servers::fresh_database().await.unwrap();
    let store = Arc::new(JetStreamStore::connect(client.clone()).await.unwrap());
    let one = Shop::over(store, client.clone(), &database).await;
    let other = async_nats::connect(server.url()).await.unwrap();
    let two = one
        .twin(Arc::new(JetStreamStore::connect(other).await.unwrap()))
        .await;
    (server, one, two)
}

fn count(replies: &[Reply], status: u16, code: &str) -> usize {
    replies
        .iter()
        .filter(|reply| reply.status == status && reply.code() == code)
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_32_who_race_for_one_address_or_one_sku_one_gets_it() {
    let (_server, one, two) = two().await;
    let shop = |n: usize| if n.is_multiple_of(2) { &one } else { &two };
    let body = customer("ada@example.org");
    let add = |n: usize| {
        shop(n)
            .admin(Method::POST, "/v1/customers")
            .key(&format!("c-{n}"))
            .json(&body)
            .send()
    };
    let replies = join_all((0..RACERS).map(add)).await;
    assert_eq!(
        (
            count(&replies, 201, ""),
            count(&replies, 409, "email_taken")
        ),
        (1, RACERS - 1),
        "{replies:#?}"
    );
    let body = product("MUG-1");
    let add = |n: usize| {
        shop(n)
            .admin(Method::POST, "/v1/products")
            .key(&format!("p-{n}"))
            .json(&body)
            .send()
    };
    let replies = join_all((0..RACERS).map(add)).await;
    assert_eq!(
        (count(&replies, 201, ""), count(&replies, 409, "sku_taken")),
        (1, RACERS - 1),
        "{replies:#?}"
    );
    assert_eq!(
        one.types().await,
        [
            "uniq.claimed",
            "customer.added",
            "uniq.claimed",
            "product.added"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_32_repeats_at_once_all_are_told_the_same_and_it_happens_once() {
    let (_server, one, two) = two().await;
    let shop = |n: usize| if n.is_multiple_of(2) { &one } else { &two };
    let (ada, partner) = (Uuid::now_v7(), one.selling_partner().await);
    let mug = two.offered_product(partner, 1999, 10).await;
    let before = usize::try_from(one.log_end().await).unwrap();

    let units = json!({"quantity": 5});
    let path = format!("/v1/inventory/{mug}/receive");
    let receive = |n: usize| {
        shop(n)
            .admin(Method::POST, &path)
            .key("r-1")
            .json(&units)
            .send()
    };
    let replies = join_all((0..RACERS).map(receive)).await;
    let told: HashSet<(u16, u64)> = replies
        .iter()
        .map(|r| (r.status.as_u16(), r.position()))
        .collect();
    assert_eq!(told.len(), 1, "{replies:#?}");

    let body = by_card(two.quote(ada, partner, mug, 1).await);
    let replies = join_all((0..RACERS).map(|n| shop(n).place(ada, "o-1", &body))).await;
    let told: HashSet<(u16, Uuid, u64)> = replies
        .iter()
        .map(|r| (r.status.as_u16(), r.id(), r.position()))
        .collect();
    assert_eq!(told.len(), 1, "{replies:#?}");
    assert_eq!(replies[0].status, 202);

    let types = one.types().await.split_off(before);
    assert_eq!(
        types,
        [
            "done.recorded",
            "inventory.received",
            "order.placed",
            "payment.requested",
            "fulfilment.started",
            "fulfilment.intended"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_32_orders_that_race_for_one_quote_one_gets_it() {
    let (_server, one, two) = two().await;
    let shop = |n: usize| if n.is_multiple_of(2) { &one } else { &two };
    let (ada, partner) = (Uuid::now_v7(), one.selling_partner().await);
    let mug = one.offered_product(partner, 1999, 10).await;
    let body = by_card(one.quote(ada, partner, mug, 1).await);
    let keys: Vec<String> = (0..RACERS).map(|n| format!("o-{n}")).collect();
    let replies = join_all((0..RACERS).map(|n| shop(n).place(ada, &keys[n], &body))).await;
    assert_eq!(
        (count(&replies, 202, ""), count(&replies, 409, "quote_used")),
        (1, RACERS - 1),
        "{replies:#?}"
    );
}
