//! Adding customers: sealed from the first event on, one per e-mail address.

use std::collections::HashSet;

use event_schema::EventSet;
use event_schema::customer::Event;
use futures::future::join_all;
use http::Method;
use serde_json::json;
use uuid::Uuid;

use crate::shop::{Shop, customer};

const PATH: &str = "/v1/customers";

#[tokio::test]
async fn an_admin_adds_a_customer_whose_data_is_sealed_in_the_log() {
    let shop = Shop::open().await;
    let added = shop
        .admin(Method::POST, PATH)
        .key("c-1")
        .json(&customer("Ada@Example.org"))
        .send()
        .await;
    assert_eq!(added.status, 201, "{added:#?}");
    let id = added.id();
    assert_eq!(
        added.body,
        json!({"id": id, "name": "Ada Lovelace", "email": "Ada@Example.org", "role": "customer"})
    );
    assert_eq!(added.header("location"), format!("/v1/customers/{id}"));
    assert_eq!(added.header("etag"), "\"1\"");
    assert_eq!(added.position(), shop.log_end().await);

    assert_eq!(shop.types().await, ["uniq.claimed", "customer.added"]);
    let event = shop.log().await.pop().unwrap();
    let stored = String::from_utf8_lossy(&event.payload).to_lowercase();
    assert!(
        !stored.contains("ada@") && !stored.contains("lovelace"),
        "{stored}"
    );
    let Ok(Event::Added(fact)) =
        Event::decode(&event.event_type, event.schema_version, &event.payload)
    else {
        panic!("{event:?}");
    };
    let key = shop.vault.open(id).await.unwrap();
    assert_eq!(
        fact.name.open(key.as_ref()).unwrap().as_deref(),
        Some("Ada Lovelace")
    );
    assert_eq!(
        fact.email.open(key.as_ref()).unwrap().as_deref(),
        Some("Ada@Example.org")
    );
    assert!(event.metadata.actor.as_str().starts_with("admin:"));
    assert_eq!(event.metadata.command_id.uuid(), id);
    assert_eq!(event.metadata.correlation_id, id);
}

#[tokio::test]
async fn a_repeat_is_answered_as_the_first_time_and_changes_nothing() {
    let shop = Shop::open().await;
    let first = shop
        .admin(Method::POST, PATH)
        .key("c-1")
        .json(&customer("ada@example.org"))
        .send()
        .await;
    // Something happens in between, so that the same position is no coincidence.
    shop.admin(Method::POST, PATH)
        .key("c-2")
        .json(&customer("bob@example.org"))
        .send()
        .await;
    let end = shop.log_end().await;
    let again = shop
        .admin(Method::POST, PATH)
        .key("c-1")
        .json(&customer("ada@example.org"))
        .send()
        .await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.position(), first.position());
    assert_eq!(again.header("etag"), first.header("etag"));
    assert_eq!(shop.log_end().await, end);
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    let shop = Shop::open().await;
    shop.admin(Method::POST, PATH)
        .key("c-1")
        .json(&customer("ada@example.org"))
        .send()
        .await;
    let end = shop.log_end().await;
    let other = shop
        .admin(Method::POST, PATH)
        .key("c-1")
        .json(&customer("bob@example.org"))
        .send()
        .await;
    other.is_problem(422, "idempotency_key_reused");
    assert_eq!(shop.log_end().await, end);
}

#[tokio::test]
async fn an_address_belongs_to_one_customer_however_it_is_spelt_and_the_refused_leave_nothing() {
    let shop = Shop::open().await;
    shop.admin(Method::POST, PATH)
        .key("c-1")
        .json(&customer("ada@example.org"))
        .send()
        .await;
    let end = shop.log_end().await;
    let taken = shop
        .admin(Method::POST, PATH)
        .key("c-2")
        .json(&customer(" ADA@example.ORG "))
        .send()
        .await;
    taken.is_problem(409, "email_taken");
    assert_eq!(shop.log_end().await, end);
    // Only successes are remembered: the same key may be used for something that works.
    let added = shop
        .admin(Method::POST, PATH)
        .key("c-2")
        .json(&customer("bob@example.org"))
        .send()
        .await;
    assert_eq!(added.status, 201);
}

#[tokio::test]
async fn of_32_who_race_for_one_address_one_gets_it() {
    let shop = Shop::open().await;
    let asks = (0..32).map(|n| {
        shop.admin(Method::POST, PATH)
            .key(&format!("race-{n}"))
            .json(&customer("ada@example.org"))
            .send()
    });
    let replies = join_all(asks).await;
    let added = replies.iter().filter(|reply| reply.status == 201).count();
    let taken = replies
        .iter()
        .filter(|reply| reply.status == 409 && reply.code() == "email_taken")
        .count();
    assert_eq!((added, taken), (1, 31));
    assert_eq!(shop.types().await, ["uniq.claimed", "customer.added"]);
}

#[tokio::test]
async fn of_32_repeats_at_once_all_are_told_of_the_same_customer() {
    let shop = Shop::open().await;
    let asks = (0..32).map(|_| {
        shop.admin(Method::POST, PATH)
            .key("once")
            .json(&customer("ada@example.org"))
            .send()
    });
    let replies = join_all(asks).await;
    assert!(
        replies.iter().all(|reply| reply.status == 201),
        "{replies:#?}"
    );
    let ids: HashSet<(Uuid, u64)> = replies
        .iter()
        .map(|reply| (reply.id(), reply.position()))
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(shop.types().await, ["uniq.claimed", "customer.added"]);
}

#[tokio::test]
async fn every_field_that_cannot_be_accepted_is_named() {
    let shop = Shop::open().await;
    let bad = json!({"name": " ", "email": "nonsense"});
    let reply = shop
        .admin(Method::POST, PATH)
        .key("c-1")
        .json(&bad)
        .send()
        .await;
    reply.is_problem(422, "invalid");
    reply.names("/name", "required");
    reply.names("/email", "invalid");
    let bad = json!({"name": "Ada", "email": "ada@example.org", "role": "emperor"});
    let reply = shop
        .admin(Method::POST, PATH)
        .key("c-1")
        .json(&bad)
        .send()
        .await;
    reply.is_problem(422, "invalid");
    assert_eq!(shop.log_end().await, 0);
}

#[tokio::test]
async fn a_role_other_than_customer_is_kept() {
    let shop = Shop::open().await;
    let body = json!({"name": "Dan", "email": "dan@example.org", "role": "deliverer"});
    let added = shop
        .admin(Method::POST, PATH)
        .key("c-1")
        .json(&body)
        .send()
        .await;
    assert_eq!(
        (added.status.as_u16(), added.body["role"].as_str()),
        (201, Some("deliverer"))
    );
}
