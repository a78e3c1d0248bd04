//! Broker away, database away, both: whoever asks is told so in the documented way, nothing that was accepted is lost,
//! and nobody has to lend a hand afterwards.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use testkit::{Answer, Layout, Person, Role};
use tokio::time::Instant;
use uuid::Uuid;

use crate::crowd::Crowd;
use crate::rounds;
use crate::stage::{Broker, Stage, blocking};

/// How long a server is away: longer than every lease and sign of life is good for.
const AWAY_FOR: Duration = Duration::from_secs(8);
/// Whoever waits for a server that is away is told so within this; on a busy machine with some delay.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// What is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Away {
    Broker,
    Database,
    Both,
}

impl Away {
    fn broker(self) -> bool {
        self != Self::Database
    }

    fn database(self) -> bool {
        self != Self::Broker
    }

    /// The codes that fit.
    fn codes(self) -> &'static [&'static str] {
        match self {
            Self::Broker => &["broker_unavailable"],
            Self::Database => &["database_unavailable"],
            Self::Both => &["broker_unavailable", "database_unavailable"],
        }
    }
}

impl Stage {
    async fn goes_away(&self, away: Away) {
        let (broker, postgres) = (Arc::clone(self.broker.server()), Arc::clone(&self.postgres));
        blocking(move || {
            if away.broker() {
                broker.kill9();
            }
            if away.database() {
                postgres.kill9();
            }
        })
        .await;
    }

    async fn comes_back(&self, away: Away) {
        let (broker, postgres) = (Arc::clone(self.broker.server()), Arc::clone(&self.postgres));
        blocking(move || {
            if away.broker() {
                broker.restart().unwrap();
            }
            if away.database() {
                postgres.restart().unwrap();
            }
        })
        .await;
    }

    /// Connections stay open and nothing answers.
    async fn hangs(&self, away: Away) {
        if away.broker() {
            self.broker.server().pause();
        }
        if away.database() {
            self.postgres.pause();
        }
    }

    async fn wakes(&self, away: Away) {
        if away.broker() {
            self.broker.server().resume();
        }
        if away.database() {
            self.postgres.resume();
        }
    }

    async fn probe(&self, role: Role, path: &str) -> StatusCode {
        let client = Client::builder().no_proxy().build().unwrap();
        let url = format!("{}{path}", self.deployment.url(role, 0));
        client.get(url).send().await.unwrap().status()
    }
}

/// Everything that is asked while servers are away; each answer is judged.
async fn is_told(away: Away, what: &str, request: RequestBuilder) -> Answer {
    let begun = Instant::now();
    let answer = Answer::hear(request).await.unwrap();
    let took = begun.elapsed();
    assert!(took < ANSWER_LIMIT, "{what} took {took:?}: {answer:?}");
    if answer.asks_for_patience() {
        let code = answer.body["code"].as_str().unwrap();
        let known = away.codes().contains(&code);
        assert!(known, "{away:?}, {what}: {answer:?}");
    }
    answer
}

/// Something that somebody wants done, under a key of its own.
struct Wish<'a> {
    who: &'a Person,
    path: &'a str,
    key: String,
    body: Value,
}

impl<'a> Wish<'a> {
    fn new(who: &'a Person, path: &'a str, body: Value) -> Self {
        let key = Uuid::now_v7().to_string();
        Self {
            who,
            path,
            key,
            body,
        }
    }

    fn request(&self) -> RequestBuilder {
        let request = self.who.request(Method::POST, self.path);
        request
            .header("Idempotency-Key", &self.key)
            .json(&self.body)
    }

    /// The same command once more, until it is done.
    async fn comes_true(&self) -> Value {
        let told = self
            .who
            .insists(Method::POST, self.path, &self.key, &self.body)
            .await;
        told.answer.ok()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_away_is_said_and_everything_goes_on_by_itself_afterwards() {
    let mut stage = Stage::on(Broker::one(), Layout::single()).await;
    let product = stage.market.product(1000, 100_000).await;
    let crowd = Crowd::gathers(&stage, &product, 3).await;
    let buyer = stage.market.customer(&stage.deployment).await;
    let admin = stage.market.admin.clone();
    let partner = stage.market.partner.clone();
    let stock = format!("/v1/inventory/{}", product.id);
    let receive = format!("{stock}/receive");
    let (mut received_by_us, mut ordered_by_us) = (0, BTreeSet::new());
    for _ in 0..rounds(1, 3) {
        for away in [Away::Broker, Away::Database, Away::Both] {
            crowd.goes_on(5).await;
            let quote = buyer.quote(&partner, &product.id, 1).await.ok();
            let email = format!("{}@example.com", Uuid::now_v7().simple());
            let customer = Wish::new(
                &admin,
                "/v1/customers",
                json!({"name": "Bob", "email": email}),
            );
            let delivery = Wish::new(&admin, &receive, json!({"quantity": 1}));
            let payment = json!({"method": "card", "token": "pm_card_visa"});
            let order = Wish::new(
                &buyer,
                "/v1/orders",
                json!({"quote_id": quote["quote_id"], "payment": payment}),
            );

            stage.goes_away(away).await;
            let begun = Instant::now();
            let (added, received, ordered, listed, shown) = tokio::join!(
                is_told(away, "adding a customer", customer.request()),
                is_told(away, "receiving stock", delivery.request()),
                is_told(away, "placing an order", order.request()),
                is_told(
                    away,
                    "listing orders",
                    buyer.request(Method::GET, "/v1/orders")
                ),
                is_told(away, "asking for stock", admin.request(Method::GET, &stock)),
            );
            for (answer, refused) in [
                // A person needs a key from the database and an event in the log.
                (&added, true),
                // What happens is in the log, rows are in the database.
                (&received, away.broker()),
                (&ordered, away.broker()),
                (&listed, away.database()),
                (&shown, away.database()),
            ] {
                assert_eq!(answer.status == 503, refused, "{away:?}: {answer:?}");
            }
            for role in [Role::CommandApi, Role::Projector, Role::SagaOrchestrator] {
                assert_eq!(stage.probe(role, "/livez").await, 200, "{role:?}");
            }
            let unready = if away.database() {
                Role::Projector
            } else {
                Role::CommandApi
            };
            assert_eq!(stage.probe(unready, "/readyz").await, 503, "{away:?}");
            tokio::time::sleep(AWAY_FOR.saturating_sub(begun.elapsed())).await;

            stage.comes_back(away).await;
            let back = Instant::now();
            crowd.goes_on(5).await;
            eprintln!(
                "{away:?}: commands are accepted again {:?} after it was back",
                back.elapsed()
            );
            stage.deployment.ready().await;
            customer.comes_true().await;
            delivery.comes_true().await;
            received_by_us += 1;
            let order = order.comes_true().await;
            ordered_by_us.insert(order["order_id"].as_str().unwrap().to_owned());
        }
    }
    let (mut product, heard) = crowd.ends().await;
    product.received += received_by_us;
    let mut accepted = heard.accepted;
    accepted.extend(ordered_by_us);
    stage.books_balance(&[product], &accepted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_keeps_nobody_waiting_for_ever() {
    let mut stage = Stage::on(Broker::one(), Layout::single()).await;
    let product = stage.market.product(1000, 100_000).await;
    let crowd = Crowd::gathers(&stage, &product, 2).await;
    let admin = stage.market.admin.clone();
    let receive = format!("/v1/inventory/{}/receive", product.id);
    let mut received_by_us = 0;
    let all = [Away::Both, Away::Broker, Away::Database];
    for away in all.into_iter().take(rounds(1, all.len())) {
        crowd.goes_on(5).await;
        let email = format!("{}@example.com", Uuid::now_v7().simple());
        let customer = Wish::new(
            &admin,
            "/v1/customers",
            json!({"name": "Bob", "email": email}),
        );
        let delivery = Wish::new(&admin, &receive, json!({"quantity": 1}));
        stage.hangs(away).await;
        let orders = || admin.request(Method::GET, "/v1/orders");
        let (added, received, listed) = tokio::join!(
            is_told(away, "adding a customer", customer.request()),
            is_told(away, "receiving stock", delivery.request()),
            is_told(away, "listing orders", orders()),
        );
        assert_eq!(added.status, 503, "{away:?}: {added:?}");
        assert_eq!(received.status == 503, away.broker(), "{received:?}");
        assert_eq!(listed.status == 503, away.database(), "{listed:?}");

        stage.wakes(away).await;
        let back = Instant::now();
        crowd.goes_on(5).await;
        eprintln!(
            "{away:?}: commands are accepted again {:?} after it woke up",
            back.elapsed()
        );
        stage.deployment.ready().await;
        customer.comes_true().await;
        delivery.comes_true().await;
        received_by_us += 1;
    }
    let (mut product, heard) = crowd.ends().await;
    product.received += received_by_us;
    stage.books_balance(&[product], &heard.accepted).await;
}
