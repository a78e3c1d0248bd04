//! A command that is repeated happens once: at either door, over the death of the leader and over restarts.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Answer, Layout, Person, Role};

use crate::rounds;
use crate::stage::{Broker, Stage};

const REPEATS: usize = 8;

/// A command and what it was answered the first time.
struct Known {
    path: String,
    key: String,
    body: Value,
    other_body: Value,
    status: u16,
    answer: Value,
    position: Option<u64>,
}

impl Known {
    async fn first(who: &Person, path: String, key: &str, body: Value, other_body: Value) -> Self {
        let told = who.insists(Method::POST, &path, key, &body).await;
        let Answer {
            status,
            body: answer,
            position,
            ..
        } = told.answer;
        assert!(status.is_success(), "{status}: {answer}");
        Self {
            path,
            key: key.to_owned(),
            body,
            other_body,
            status: status.as_u16(),
            answer,
            position,
        }
    }

    /// Told the same (as far as the fields go that are named), whoever is asked; and another body under the same key is
    /// refused.
    async fn is_repeated(&self, who: &Person, fields: &[&str]) {
        let repeats =
            (0..REPEATS).map(|_| who.insists(Method::POST, &self.path, &self.key, &self.body));
        for told in join_all(repeats).await {
            assert_eq!(told.answer.status.as_u16(), self.status, "{told:?}");
            for field in fields {
                assert_eq!(told.answer.body[field], self.answer[field], "{told:?}");
            }
            assert!(told.answer.position >= self.position, "{told:?}");
        }
        let other = who.insists(Method::POST, &self.path, &self.key, &self.other_body);
        other.await.answer.refused(422, "idempotency_key_reused");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_command_happens_once_whatever_dies_in_between() {
    let mut stage = Stage::on(Broker::three(), Layout::twice().on_three_brokers()).await;
    let product = stage.market.product(1000, 50).await;
    let buyer = stage.market.customer(&stage.deployment).await;
    let quote = buyer
        .quote(&stage.market.partner, &product.id, 2)
        .await
        .ok();
    let place = |card: &str| json!({"quote_id": quote["quote_id"], "payment": {"method": "card", "token": card}});
    let order = Known::first(
        &buyer,
        "/v1/orders".to_owned(),
        "the-one-order",
        place("pm_card_visa"),
        place("pm_card_visa_chargeDeclined"),
    )
    .await;
    let id = order.answer["order_id"].as_str().unwrap().to_owned();
    let received = Known::first(
        &stage.market.admin,
        format!("/v1/inventory/{}/receive", product.id),
        "one-delivery",
        json!({"quantity": 30}),
        json!({"quantity": 31}),
    )
    .await;
    let admin = stage.market.admin.clone();
    let repeated = async || {
        tokio::join!(
            order.is_repeated(&buyer, &["id", "quote_id", "status", "lines", "total"]),
            // The row is answered as it is now: what was sold since does not change what was received.
            received.is_repeated(&admin, &["product_id", "received"]),
        );
    };
    repeated().await;
    for _ in 0..rounds(1, 4) {
        tokio::join!(stage.leader_dies_and_comes_back(), repeated());
        for number in 0..2 {
            stage.deployment.kill9(Role::CommandApi, number).await;
            stage.deployment.again(Role::CommandApi, number);
        }
        stage.deployment.ready().await;
        repeated().await;
    }
    let now = buyer.order_ends(&id).await;
    assert_eq!(now["status"], "confirmed", "{now}");
    // The order has ended and its stock is sold; the first answer is still the answer.
    repeated().await;
    let all_received = testkit::Product {
        received: 80,
        ..product
    };
    let endings = stage.books_balance(&[all_received], &[id].into()).await;
    assert_eq!(endings, [("confirmed".to_owned(), 1)].into());
}
