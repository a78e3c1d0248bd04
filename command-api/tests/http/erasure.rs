//! A person is erased: what is left of him, what is free again, and who finishes it when somebody died in the middle.

use std::time::Duration;

use bytes::Bytes;
use event_schema::ids::CommandId;
use event_schema::{Actor, EventSet, Metadata, NewEvent, Subject, customer};
use event_store::{Group, Part};
use http::Method;
use serde_json::json;
use service_kit::Shutdown;
use sqlx::PgPool;
use uuid::Uuid;

use crate::auth::{SignedIn, sign_up, signed_in};
use crate::avatars::png;
use crate::shop::{Reply, Shop};

const PATIENCE: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(50);

impl Shop {
    async fn erases_himself(&self, who: &SignedIn) -> Reply {
        self.nobody(Method::DELETE, "/v1/me?erase=true")
            .header("authorization", &format!("Bearer {}", who.access))
            .send()
            .await
    }

    async fn erased_by_admin(&self, id: Uuid) -> Reply {
        self.admin(Method::DELETE, &format!("/v1/customers/{id}?erase=true"))
            .send()
            .await
    }

    /// Nothing opens the person's data and nobody signs in as him.
    async fn nothing_is_left_of(&self, who: &SignedIn) -> bool {
        // Asked of the database, and not of a cache.
        let key: Option<Option<Vec<u8>>> =
            sqlx::query_scalar("select wrapped_key from vault.personal_keys where person = $1")
                .bind(who.id)
                .fetch_optional(self.database())
                .await
                .unwrap();
        key == Some(None)
            && self.vault.left_of(&[who.id]).await.unwrap().is_empty()
            && self.pictures().of(who.id).await.unwrap().is_empty()
            && !self.lets_in(&who.access).await
    }

    async fn waits_until_nothing_is_left_of(&self, who: &SignedIn) {
        let until = tokio::time::Instant::now() + PATIENCE;
        while !self.nothing_is_left_of(who).await {
            assert!(
                tokio::time::Instant::now() < until,
                "something is left of {}",
                who.id
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// What a process leaves that dies right after the event.
    async fn only_the_event(&self, id: Uuid) {
        let subject = Subject::history("customer", id);
        let store = self.executor.store();
        let (expected, seen) = store.head(&subject).await.unwrap().unwrap();
        let event = customer::Event::from(customer::Erased {});
        let new = NewEvent {
            event_id: Uuid::now_v7(),
            event_type: event.event_type(),
            schema_version: event.schema_version(),
            payload: Bytes::from(event.encode().unwrap()),
            saga: None,
        };
        let now = self.clock.now();
        let group = Group {
            metadata: Metadata::new(CommandId(Uuid::now_v7()), Actor::system(), now),
            parts: vec![Part {
                subject,
                expected,
                seen: event_store::Seen::At(seen),
                events: vec![new],
            }],
            conditions: vec![],
        };
        store.append(group).await.unwrap();
    }
}

async fn key_of(pool: &PgPool, person: Uuid) -> Vec<u8> {
    sqlx::query_scalar("select wrapped_key from vault.personal_keys where person = $1")
        .bind(person)
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn who_erases_himself_is_nobody_any_more_and_his_address_is_free() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    assert_eq!(shop.shows(&ada, &png(9)).await.status, 200);
    let erased = shop.erases_himself(&ada).await;
    assert_eq!(erased.status, 204, "{erased:#?}");
    assert_eq!(erased.position(), shop.log_end().await);
    let types = shop.types().await;
    assert!(types[types.len() - 2..].contains(&"customer.erased".to_owned()));
    assert!(types[types.len() - 2..].contains(&"uniq.released".to_owned()));
    assert!(shop.nothing_is_left_of(&ada).await);

    let unknown = shop.login("nobody@example.org", "correct horse").await;
    let gone = shop.login(&ada.email, "correct horse battery").await;
    assert_eq!(
        (gone.status, &gone.body["code"]),
        (unknown.status, &unknown.body["code"])
    );
    shop.post("/v1/auth/refresh", &json!({"refresh_token": ada.refresh}))
        .await
        .is_problem(401, "invalid_refresh_token");
    // A token that belongs to no session lives on, and reaches nothing.
    let patched = shop
        .customer(ada.id, Method::PATCH, "/v1/me")
        .json(&json!({"name": "Ada again"}))
        .send()
        .await;
    patched.is_problem(404, "not_found");

    let again = shop.post("/v1/auth/register", &sign_up(&ada.email)).await;
    assert_eq!(again.status, 201, "{again:#?}");
    assert_ne!(again.id(), ada.id);
}

#[tokio::test]
async fn an_admin_erases_somebody_open_or_closed_and_doing_it_again_changes_nothing() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let path = format!("/v1/customers/{}", ada.id);
    let closed = shop.admin(Method::DELETE, &path).send().await;
    assert_eq!(closed.status, 204);
    let stale = shop
        .admin(Method::DELETE, &format!("{path}?erase=true"))
        .header("if-match", "\"1\"");
    stale.send().await.is_problem(412, "stale_version");
    let erased = shop.erased_by_admin(ada.id).await;
    assert_eq!(erased.status, 204, "{erased:#?}");
    let end = shop.log_end().await;
    for again in [
        shop.erased_by_admin(ada.id).await,
        shop.admin(Method::DELETE, &path).send().await,
    ] {
        assert_eq!(again.status, 204, "{again:#?}");
        assert_eq!(shop.log_end().await, end);
    }
    assert!(shop.nothing_is_left_of(&ada).await);
    shop.erased_by_admin(Uuid::now_v7())
        .await
        .is_problem(404, "not_found");
    let odd = shop.admin(Method::DELETE, &format!("{path}?erase=maybe"));
    assert_eq!(odd.send().await.status, 422);
}

#[tokio::test]
async fn no_order_and_no_quote_is_made_for_somebody_erased() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let partner = shop.selling_partner().await;
    let product = shop.offered_product(partner, 850, 5).await;
    let basket = crate::shop::basket(partner, &[(product, 1)]);
    let quote = shop.quote(ada.id, partner, product, 1).await;
    assert_eq!(shop.erases_himself(&ada).await.status, 204);
    let end = shop.log_end().await;
    shop.check(ada.id, &basket)
        .await
        .is_problem(409, "personal_data_erased");
    // Quoted while he was somebody, and sealed under a key that is gone.
    shop.place(ada.id, "one", &crate::shop::by_card(quote))
        .await
        .is_problem(409, "personal_data_erased");
    assert_eq!(shop.log_end().await, end);
}

#[tokio::test]
async fn an_erasure_that_was_left_in_the_middle_is_finished_and_a_restored_vault_is_emptied_again()
{
    let shop = Shop::open().await;
    let (ada, bob) = (signed_in(&shop).await, signed_in(&shop).await);
    assert_eq!(shop.shows(&ada, &png(9)).await.status, 200);
    assert_eq!(shop.shows(&bob, &png(9)).await.status, 200);
    let copied = key_of(shop.database(), ada.id).await;
    shop.only_the_event(ada.id).await;
    assert!(!shop.nothing_is_left_of(&ada).await);

    let shutdown = Shutdown::new();
    // Two processes begin at once.
    let twin = shop.twin(shop.executor.store().clone()).await;
    let running = [&shop, &twin].map(|one| tokio::spawn(one.service.clone().run(shutdown.clone())));
    shop.waits_until_nothing_is_left_of(&ada).await;
    shutdown.begin();
    for run in running {
        run.await.unwrap().unwrap();
    }
    assert!(shop.lets_in(&bob.access).await, "others stay");
    assert_eq!(shop.pictures().of(bob.id).await.unwrap().len(), 1);

    // The vault of yesterday.
    sqlx::query(
        "update vault.personal_keys set wrapped_key = $2, destroyed_at = null where person = $1",
    )
    .bind(ada.id)
    .bind(copied)
    .execute(shop.database())
    .await
    .unwrap();
    assert!(!shop.nothing_is_left_of(&ada).await);
    let shutdown = Shutdown::new();
    let later = shop.twin(shop.executor.store().clone()).await;
    let running = tokio::spawn(later.service.clone().run(shutdown.clone()));
    shop.waits_until_nothing_is_left_of(&ada).await;
    shutdown.begin();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_the_log_keeps_of_an_erased_person_cannot_be_read() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let key = shop.vault.open(ada.id).await.unwrap().unwrap();
    let details = async || {
        let events = shop.log().await;
        let added = events.iter().find(|event| {
            event.aggregate_id() == Some(ada.id) && event.event_type == "customer.added"
        });
        let added = added.unwrap();
        match customer::Event::decode(&added.event_type, added.schema_version, &added.payload) {
            Ok(customer::Event::Added(added)) => added,
            other => panic!("{other:?}"),
        }
    };
    let read = details().await.name.open(Some(&key)).unwrap();
    assert_eq!(read.as_deref(), Some("Ada Lovelace"));
    assert_eq!(shop.erases_himself(&ada).await.status, 204);
    assert!(shop.vault.open(ada.id).await.unwrap().is_none());
    let error = shop.vault.personal_key(ada.id).await.err().unwrap();
    assert!(matches!(error, service_kit::VaultError::Erased(id) if id == ada.id));
    assert_eq!(details().await.name.open(None).unwrap(), None);
    for event in shop.log().await {
        let stored = String::from_utf8_lossy(&event.payload).into_owned();
        assert!(!stored.contains("Lovelace") && !stored.contains(&ada.email));
        assert!(!stored.contains(&ada.refresh));
    }
}
