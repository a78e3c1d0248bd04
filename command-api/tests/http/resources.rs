//! Cloud resources and who has them: each thing once, however many ask at once, and nothing that is not there.

use std::collections::HashSet;

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use service_kit::Role;
use uuid::Uuid;

use crate::shop::{Reply, Shop, customer};

const PATH: &str = "/v1/resources";

fn machine() -> Value {
    json!({"name": "Small machine", "type": "vm", "region": "eu-central-1"})
}

async fn added(shop: &Shop) -> Uuid {
    let ask = shop.admin(Method::POST, PATH).new_key();
    let reply = ask.json(&machine()).send().await;
    assert_eq!(reply.status, 201, "{reply:#?}");
    reply.id()
}

async fn person(shop: &Shop, email: &str) -> Uuid {
    let ask = shop.admin(Method::POST, "/v1/customers").new_key();
    let reply = ask.json(&customer(email)).send().await;
    assert_eq!(reply.status, 201, "{reply:#?}");
    reply.id()
}

async fn assign(shop: &Shop, who: Uuid, key: &str, what: Uuid) -> Reply {
    shop.admin(Method::POST, &format!("/v1/customers/{who}/resources"))
        .key(key)
        .json(&json!({"resource_id": what}))
        .send()
        .await
}

async fn unassign(shop: &Shop, who: Uuid, what: Uuid) -> Reply {
    let path = format!("/v1/customers/{who}/resources/{what}");
    shop.admin(Method::DELETE, &path).send().await
}

async fn count(shop: &Shop, kind: &str) -> usize {
    let types = shop.types().await.into_iter();
    types.filter(|event| event == kind).count()
}

#[tokio::test]
async fn a_resource_is_added_and_a_repeat_is_answered_alike() {
    let shop = Shop::open().await;
    let ask = || shop.admin(Method::POST, PATH).key("r-1");
    let first = ask().json(&machine()).send().await;
    assert_eq!(first.status, 201, "{first:#?}");
    let id = first.id();
    let whole = json!({"id": id, "name": "Small machine", "type": "vm", "region": "eu-central-1"});
    assert_eq!(first.body, whole);
    assert_eq!(first.header("location"), format!("{PATH}/{id}"));
    assert_eq!(first.header("etag"), "\"1\"");
    let again = ask().json(&machine()).send().await;
    assert_eq!(
        (again.status, &again.body, again.position()),
        (first.status, &first.body, first.position())
    );
    let mut other = machine();
    other["region"] = json!("eu-west-1");
    ask()
        .json(&other)
        .send()
        .await
        .is_problem(422, "idempotency_key_reused");
    assert_eq!(shop.types().await, ["resource.added"]);
}

#[tokio::test]
async fn of_50_who_add_under_one_key_one_does() {
    let shop = Shop::open().await;
    let asks = (0..50).map(|_| {
        let ask = shop.admin(Method::POST, PATH).key("race");
        ask.json(&machine()).send()
    });
    let replies = join_all(asks).await;
    let ids: HashSet<Uuid> = replies.iter().map(Reply::id).collect();
    assert!(replies.iter().all(|reply| reply.status == 201));
    assert_eq!((ids.len(), shop.types().await.len()), (1, 1));
}

#[tokio::test]
async fn a_change_keeps_what_it_does_not_name_and_checks_the_version() {
    let shop = Shop::open().await;
    let path = format!("{PATH}/{}", added(&shop).await);
    let patch = |body: Value| shop.admin(Method::PATCH, &path).json(&body);
    let changed = patch(json!({"region": "eu-west-1"}))
        .header("if-match", "\"1\"")
        .send()
        .await;
    assert_eq!(changed.status, 200, "{changed:#?}");
    assert_eq!(
        (
            &changed.body["region"],
            &changed.body["name"],
            &changed.body["type"]
        ),
        (&json!("eu-west-1"), &json!("Small machine"), &json!("vm"))
    );
    assert_eq!(changed.header("etag"), "\"2\"");
    let end = shop.log_end().await;
    for method in [Method::PATCH, Method::DELETE] {
        shop.admin(method, &path)
            .header("if-match", "\"1\"")
            .json(&json!({"name": "X"}))
            .send()
            .await
            .is_problem(412, "stale_version");
    }
    patch(json!({"type": " "}))
        .send()
        .await
        .names("/type", "required");
    patch(json!({"region": "r".repeat(101)}))
        .send()
        .await
        .names("/region", "too_long");
    patch(json!({"name": "n".repeat(201)}))
        .send()
        .await
        .names("/name", "too_long");
    patch(json!({"zone": "a"}))
        .send()
        .await
        .names("/zone", "unknown_field");
    assert_eq!(shop.log_end().await, end);
}

#[tokio::test]
async fn a_removed_resource_is_gone_and_removing_it_again_is_already_true() {
    let shop = Shop::open().await;
    let path = format!("{PATH}/{}", added(&shop).await);
    let removed = shop.admin(Method::DELETE, &path).send().await;
    assert_eq!(
        (removed.status.as_u16(), &removed.body),
        (204, &json!(null))
    );
    let again = shop.admin(Method::DELETE, &path).send().await;
    assert_eq!(
        (again.status.as_u16(), again.position()),
        (204, removed.position())
    );
    let nowhere = format!("{PATH}/{}", Uuid::now_v7());
    for path in [&path, &nowhere] {
        shop.admin(Method::PATCH, path)
            .json(&json!({"name": "X"}))
            .send()
            .await
            .is_problem(404, "not_found");
    }
    shop.admin(Method::DELETE, &nowhere)
        .send()
        .await
        .is_problem(404, "not_found");
}

#[tokio::test]
async fn a_customer_gets_a_resource_loses_it_and_gets_it_again() {
    let shop = Shop::open().await;
    let (ada, vm) = (person(&shop, "ada@example.org").await, added(&shop).await);
    let first = assign(&shop, ada, "a-1", vm).await;
    assert_eq!(first.status, 201, "{first:#?}");
    assert_eq!(
        (&first.body["customer_id"], &first.body["resource_id"]),
        (&json!(ada), &json!(vm))
    );
    assert_eq!(
        first.header("location"),
        format!("/v1/customers/{ada}/resources/{vm}")
    );
    let lost = unassign(&shop, ada, vm).await;
    assert_eq!(lost.status, 204, "{lost:#?}");
    let again = unassign(&shop, ada, vm).await;
    assert_eq!(
        (again.status.as_u16(), again.position()),
        (204, lost.position())
    );
    // The first command, repeated late, does not give back what was taken away since.
    let late = assign(&shop, ada, "a-1", vm).await;
    assert_eq!((late.status, &late.body), (first.status, &first.body));
    assert_eq!(count(&shop, "assignment.assigned").await, 1);
    assert_eq!(assign(&shop, ada, "a-2", vm).await.status, 201);
    assert_eq!(count(&shop, "assignment.assigned").await, 2);
}

#[tokio::test]
async fn a_pair_is_there_once_when_50_ask_under_one_key_and_when_each_has_his_own() {
    let shop = Shop::open().await;
    let (ada, vm) = (person(&shop, "ada@example.org").await, added(&shop).await);
    let other = added(&shop).await;
    let one_key = join_all((0..50).map(|_| assign(&shop, ada, "race", vm))).await;
    let keys: Vec<String> = (0..50).map(|n| format!("race-{n}")).collect();
    let own_keys = join_all(keys.iter().map(|key| assign(&shop, ada, key, other))).await;
    for replies in [one_key, own_keys] {
        assert!(
            replies.iter().all(|reply| reply.status == 201),
            "{replies:#?}"
        );
        let ids: HashSet<Uuid> = replies.iter().map(Reply::id).collect();
        assert_eq!(ids.len(), 1);
    }
    assert_eq!(count(&shop, "assignment.assigned").await, 2);
}

#[tokio::test]
async fn unknown_customers_closed_accounts_and_removed_resources_are_refused() {
    let shop = Shop::open().await;
    let (ada, bob) = (
        person(&shop, "ada@example.org").await,
        person(&shop, "bob@example.org").await,
    );
    let (vm, gone) = (added(&shop).await, added(&shop).await);
    assert_eq!(assign(&shop, ada, "kept", gone).await.status, 201);
    for path in [format!("{PATH}/{gone}"), format!("/v1/customers/{bob}")] {
        let closed = shop.admin(Method::DELETE, &path).send().await;
        assert!(closed.status.is_success(), "{closed:#?}");
    }
    let end = shop.log_end().await;
    assign(&shop, Uuid::now_v7(), "1", vm)
        .await
        .is_problem(404, "not_found");
    assign(&shop, ada, "2", Uuid::now_v7())
        .await
        .is_problem(404, "not_found");
    assign(&shop, bob, "3", gone)
        .await
        .is_problem(409, "account_closed");
    assign(&shop, ada, "4", gone)
        .await
        .is_problem(404, "not_found");
    unassign(&shop, ada, vm).await.is_problem(404, "not_found");
    assert_eq!(shop.log_end().await, end);
    // Who has it keeps it, and can lose it, though nobody new gets it.
    assert_eq!(unassign(&shop, ada, gone).await.status, 204);
    // Nobody gives himself anything.
    let own = shop
        .by(
            Role::Customer,
            ada,
            Method::POST,
            &format!("/v1/customers/{ada}/resources"),
        )
        .new_key()
        .json(&json!({"resource_id": vm}))
        .send()
        .await;
    own.is_problem(403, "forbidden");
}

#[tokio::test]
async fn a_pair_that_changed_since_it_was_read_is_not_taken_apart() {
    let shop = Shop::open().await;
    let (ada, vm) = (person(&shop, "ada@example.org").await, added(&shop).await);
    assign(&shop, ada, "1", vm).await;
    unassign(&shop, ada, vm).await;
    assign(&shop, ada, "2", vm).await;
    let path = format!("/v1/customers/{ada}/resources/{vm}");
    let stale = shop
        .admin(Method::DELETE, &path)
        .header("if-match", "\"1\"");
    stale.send().await.is_problem(412, "stale_version");
    let known = shop
        .admin(Method::DELETE, &path)
        .header("if-match", "\"3\"");
    assert_eq!(known.send().await.status, 204);
}
