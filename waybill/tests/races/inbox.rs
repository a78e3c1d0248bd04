//! Inboxes: fifty at once who do the same, and admins who share what is for all of them.

use std::collections::BTreeSet;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Person, answer};

use crate::stage::Stage;

const CALLERS: usize = 50;

/// As it is once a position is in it.
async fn seen_at(who: &Person, path: &str, position: u64) -> Value {
    let request = who
        .request(Method::GET, path)
        .header("Waybill-Min-Position", position)
        .header("Waybill-Wait-Ms", "10000");
    answer(request).await.ok()
}

fn ids(inbox: &Value) -> Vec<String> {
    let rows = inbox["data"].as_array().unwrap();
    let id = |row: &Value| row["id"].as_str().unwrap().to_owned();
    rows.iter().map(id).collect()
}

/// Fifty ask the same at once; all are told the same position.
async fn fifty(who: &Person, method: &Method, path: &str) -> u64 {
    let asks = (0..CALLERS).map(|_| answer(who.request(method.clone(), path)));
    let mut told = BTreeSet::new();
    for answer in join_all(asks).await {
        assert_eq!(answer.status, 204, "{method} {path}: {answer:?}");
        told.insert(answer.position.unwrap());
    }
    assert_eq!(told.len(), 1, "{method} {path}: {told:?}");
    told.into_iter().next().unwrap()
}

/// How many events an inbox has.
async fn events(stage: &Stage, kind: &str) -> usize {
    let told = stage
        .admin
        .get("/v1/events?subject=evt.inbox.%3E&limit=100")
        .await
        .ok();
    let rows = told["data"].as_array().unwrap();
    let same = |row: &&Value| row["event_type"] == kind;
    rows.iter().filter(same).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_who_read_or_clear_the_same_notification_one_does() {
    let stage = Stage::open().await;
    let who = &stage.customer;
    let before = seen_at(who, "/v1/notifications", stage.log_end().await).await;
    let all = ids(&before);
    let unread = before["unread"].as_u64().unwrap();
    assert!(all.len() >= 2, "{before}");

    let path = format!("/v1/notifications/{}/read", all[0]);
    let at = fifty(who, &Method::POST, &path).await;
    let seen = seen_at(who, "/v1/notifications?unread=false", at).await;
    assert_eq!(ids(&seen), all[..1]);
    assert_eq!(seen["unread"], unread - 1);

    let path = format!("/v1/notifications/{}", all[0]);
    let at = fifty(who, &Method::DELETE, &path).await;
    let seen = seen_at(who, "/v1/notifications", at).await;
    assert_eq!(ids(&seen), all[1..]);
    let gone = answer(who.request(Method::POST, &format!("{path}/read"))).await;
    assert_eq!(gone.status, 404, "{gone:?}");

    let at = fifty(who, &Method::DELETE, "/v1/notifications").await;
    let seen = seen_at(who, "/v1/notifications", at).await;
    assert_eq!((&seen["data"], &seen["unread"]), (&json!([]), &json!(0)));
    for kind in ["inbox.read", "inbox.cleared", "inbox.all_cleared"] {
        assert_eq!(events(&stage, kind).await, 1, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_after_the_position_that_was_seen_stays_in_the_inbox() {
    let stage = Stage::open().await;
    let who = &stage.customer;
    // Everything so far is in the inbox that is seen.
    let through = stage.log_end().await;
    seen_at(who, "/v1/notifications", through).await;
    let order = who
        .order(&stage.partner, &stage.product, 1, "pm_card_visa")
        .await;
    who.order_becomes(&order, "confirmed").await;
    let path = format!("/v1/notifications?through={through}");
    let at = answer(who.request(Method::DELETE, &path)).await;
    assert_eq!(at.status, 204, "{at:?}");
    let left = seen_at(who, "/v1/notifications", at.position.unwrap()).await;
    let rows = left["data"].as_array().unwrap();
    assert!(
        !rows.is_empty() && rows.iter().all(|row| row["order_id"] == *order),
        "{left}"
    );

    let beyond = "/v1/notifications?through=99999999999";
    let refused = answer(who.request(Method::DELETE, beyond)).await;
    assert_eq!(refused.body["code"], "position_unknown", "{refused:?}");
    let odd = answer(who.request(Method::DELETE, "/v1/notifications?through=soon")).await;
    assert_eq!(
        (odd.status.as_u16(), &odd.body["code"]),
        (422, &json!("invalid"))
    );
}
