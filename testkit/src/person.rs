//! Somebody with a token who uses the API.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use crate::program::within;

/// Longer than any answer may take: the server's own limit around a request is 30 s.
const ANSWER_LIMIT: Duration = Duration::from_secs(40);

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// `Waybill-Position`, when there is one.
    pub position: Option<u64>,
    /// `Retry-After`, when there is one.
    pub retry_after: Option<String>,
    /// The body, or null.
    pub body: Value,
}

impl Answer {
    /// The body, if the answer is a 2xx.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        self.body
    }

    /// Checks status and code of a refusal.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) {
        assert_eq!(
            (self.status.as_u16(), self.body["code"].as_str()),
            (status, Some(code)),
            "{self:?}"
        );
    }
}

/// A caller. His questions and his commands go round over the addresses that he knows.
#[derive(Clone)]
pub struct Person {
    http: Client,
    commands: Arc<[String]>,
    queries: Arc<[String]>,
    turn: Arc<AtomicUsize>,
    token: String,
}

impl Person {
    /// Somebody who holds the token.
    pub fn new(base_url: &str, token: &str) -> Self {
        let base_url = [base_url.to_owned()];
        Self::at(&base_url, &base_url, token)
    }

    /// Somebody who sends commands to one kind of process and questions to another, as an edge would for him.
    pub fn at(commands: &[String], queries: &[String], token: &str) -> Self {
        let http = Client::builder()
            .no_proxy()
            .timeout(ANSWER_LIMIT)
            .build()
            .unwrap();
        Self {
            http,
            commands: commands.into(),
            queries: queries.into(),
            turn: Arc::default(),
            token: token.to_owned(),
        }
    }

    /// The same person, whose commands all go to one replica.
    pub fn commanding(&self, replica: usize) -> Self {
        let commands = [self.commands[replica].clone()].into();
        Self {
            commands,
            ..self.clone()
        }
    }

    /// The same person, whose questions all go to one replica.
    pub fn asking(&self, replica: usize) -> Self {
        let queries = [self.queries[replica].clone()].into();
        Self {
            queries,
            ..self.clone()
        }
    }

    /// A request in his name.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let addresses = if method == Method::GET {
            &self.queries
        } else {
            &self.commands
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % addresses.len();
        self.http
            .request(method, format!("{}{path}", addresses[turn]))
            .bearer_auth(&self.token)
    }

    /// Sends a command under a fresh idempotency key.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let key = Uuid::now_v7().to_string();
        answer(
            self.request(Method::POST, path)
                .header("Idempotency-Key", key)
                .json(body),
        )
        .await
    }

    /// Asks.
    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    /// Prices lines of one partner.
    pub async fn check(&self, partner: &str, lines: &Value) -> Answer {
        let body = serde_json::json!({
            "partner_id": partner, "lines": lines,
            "delivery_address": "Unter den Linden 1, Berlin", "phone": "+49 30 7654321",
        });
        self.post("/v1/orders/check", &body).await
    }

    /// Prices and orders one product, paid by a card; gives the order's id.
    pub async fn order(&self, partner: &str, product: &str, quantity: u32, card: &str) -> String {
        let lines = serde_json::json!([{"product_id": product, "quantity": quantity}]);
        let quote = self.check(partner, &lines).await.ok();
        let body = serde_json::json!({"quote_id": quote["quote_id"], "payment": {"method": "card", "token": card}});
        let order = self.post("/v1/orders", &body).await.ok();
        order["order_id"].as_str().unwrap().to_owned()
    }

    /// Waits until the order has the status; gives the order.
    pub async fn order_becomes(&self, order: &str, status: &str) -> Value {
        let path = format!("/v1/orders/{order}");
        within(&format!("order {order} becomes {status}"), || async {
            // The program may be down at the moment.
            let answer = self.request(Method::GET, &path).send().await.ok()?;
            let order: Value = answer.json().await.ok()?;
            (order["status"] == status).then_some(order)
        })
        .await
    }
}

/// Sends and reads whole.
pub async fn answer(request: RequestBuilder) -> Answer {
    Answer::hear(request).await.unwrap()
}

impl Answer {
    /// Sends and reads whole, if somebody answers.
    pub async fn hear(request: RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        let header = |name: &str| Some(response.headers().get(name)?.to_str().unwrap().to_owned());
        let (status, position, retry_after) = (
            response.status(),
            header("waybill-position"),
            header("retry-after"),
        );
        let text = response.text().await?;
        Ok(Self {
            status,
            position: position.map(|text| text.parse().unwrap()),
            retry_after,
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
        })
    }
}
