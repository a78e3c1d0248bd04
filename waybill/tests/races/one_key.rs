//! Every create is raced by fifty callers who use one key: it happens once, and all are told the same.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::Value;
use testkit::answer;

use crate::stage::Stage;

const CALLERS: usize = 50;
/// Operators' commands only happen to a saga that is stuck; the saga-orchestrator's tests race them there.
const RACED_ELSEWHERE: &str = "sagas";

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_callers_with_one_key_one_creates_and_all_are_told_the_same() {
    let stage = Stage::open().await;
    let mut raced = BTreeSet::new();
    for route in &stage.routes {
        if route.header("Idempotency-Key") != Some(true) || route.has_tag(RACED_ELSEWHERE) {
            continue;
        }
        let mut user = stage.user(route).await;
        if route.name == "place_order" {
            user = stage.customer.clone();
        }
        let (path, body) = (stage.path(route), stage.body(route).await);
        let key = format!("the-one-{}", route.name);
        let asks = (0..CALLERS).map(|_| {
            let request = route.request_under(&key, &user, &path, body.as_ref());
            answer(request)
        });
        let mut told = BTreeSet::new();
        for answer in join_all(asks).await {
            assert!(answer.status.is_success(), "{}: {answer:?}", route.name);
            // An order goes on while the others are answered.
            let said = match &answer.body {
                Value::Object(body) if route.name == "place_order" => body["order_id"].to_string(),
                body => body.to_string(),
            };
            told.insert((answer.status.as_u16(), answer.position, said));
        }
        assert_eq!(told.len(), 1, "{}: {told:#?}", route.name);
        raced.insert(route.name.as_str());
    }
    let known = [
        "add_customer",
        "add_partner",
        "add_product",
        "add_resource",
        "adjust_stock",
        "assign_resource",
        "place_order",
        "receive_stock",
        "rotate_webhook_secret",
    ];
    assert_eq!(raced, known.into());
    // 500 received, one sold; what was received and adjusted under one key counts once.
    let stock = format!("/v1/inventory/{}", stage.product);
    let row = testkit::within("the stock is as one of each made it", || async {
        let row = stage.admin.get(&stock).await.ok();
        (row["received"] == 505).then_some(row)
    })
    .await;
    assert_eq!(row["received"], 505, "{row}");
}
