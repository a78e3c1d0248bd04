//! A caller who repeats a command under the same key until it is answered for good, and judges every answer on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::person::{Answer, Person};

/// Whatever goes wrong, it has to be over within this.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// A caller of a test comes back sooner than `Retry-After` asks, but not at once.
const REPEAT_PERIOD: Duration = Duration::from_millis(150);
/// The codes under which somebody may be sent away for a while.
const COME_BACK_LATER: [&str; 7] = [
    "broker_unavailable",
    "database_unavailable",
    "busy",
    "not_caught_up",
    "held",
    "newer_events",
    "timed_out",
];

/// The last answer to a command, and what came before it.
#[derive(Debug)]
pub struct Told {
    /// What it was answered in the end.
    pub answer: Answer,
    /// How often it was sent away, by code.
    pub refused: BTreeMap<String, usize>,
    /// How often nobody answered: a process or a connection was gone.
    pub unheard: usize,
    /// From the first try to the last answer.
    pub took: Duration,
}

impl Answer {
    /// Whether the caller is sent away for a while, which has to be said in the documented way. A 500 is never right.
    #[track_caller]
    pub fn asks_for_patience(&self) -> bool {
        match self.status.as_u16() {
            503 => {
                let code = self.body["code"].as_str().unwrap_or_default();
                assert!(COME_BACK_LATER.contains(&code), "{self:?}");
                assert!(self.retry_after_seconds() >= 1, "{self:?}");
                true
            }
            429 => {
                assert!(self.retry_after_seconds() >= 1, "{self:?}");
                true
            }
            status => {
                assert!(status < 500, "{self:?}");
                false
            }
        }
    }

    fn retry_after_seconds(&self) -> u64 {
        let header = self.retry_after.as_deref();
        header.and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

impl Person {
    /// Sends a command under a key until it is answered for good.
    #[track_caller]
    pub fn insists<'a>(
        &'a self,
        method: Method,
        path: &'a str,
        key: &'a str,
        body: &'a Value,
    ) -> impl Future<Output = Told> + 'a {
        let at = std::panic::Location::caller();
        async move {
            let ask = || {
                self.request(method.clone(), path)
                    .header("Idempotency-Key", key)
                    .json(body)
            };
            insist(&format!("{at}: {path}"), ask).await
        }
    }

    /// Asks until there is an answer.
    #[track_caller]
    pub fn insists_to_know(&self, path: &str) -> impl Future<Output = Answer> {
        let at = std::panic::Location::caller();
        async move {
            let ask = || self.request(Method::GET, path);
            insist(&format!("{at}: {path}"), ask).await.answer
        }
    }

    /// A quote for one product, or the refusal to give one.
    pub async fn quote(&self, partner: &str, product: &str, quantity: u32) -> Answer {
        let body = json!({
            "partner_id": partner, "lines": [{"product_id": product, "quantity": quantity}],
            "delivery_address": "Unter den Linden 1, Berlin", "phone": "+49 30 7654321",
        });
        self.insists(Method::POST, "/v1/orders/check", "-", &body)
            .await
            .answer
    }

    /// Orders at the prices of a quote.
    pub async fn places(&self, key: &str, quote: &Value, card: &str) -> Told {
        let body =
            json!({"quote_id": quote["quote_id"], "payment": {"method": "card", "token": card}});
        self.insists(Method::POST, "/v1/orders", key, &body).await
    }

    /// Prices and orders one product, whatever is away meanwhile; gives the order's id.
    pub async fn buys(&self, partner: &str, product: &str, quantity: u32, card: &str) -> String {
        let quote = self.quote(partner, product, quantity).await.ok();
        let key = Uuid::now_v7().to_string();
        let order = self.places(&key, &quote, card).await.answer.ok();
        order["order_id"].as_str().unwrap().to_owned()
    }

    /// Waits until an order has ended, whatever is away meanwhile; gives the order.
    pub async fn order_ends(&self, order: &str) -> Value {
        let path = format!("/v1/orders/{order}");
        crate::within_time(PATIENCE, &format!("order {order} ends"), || async {
            // The row may still be on its way.
            let answer = self.insists_to_know(&path).await;
            let ended = ["confirmed", "cancelled"].map(Value::from);
            if ended.contains(&answer.body["status"]) {
                return Some(answer.body);
            }
            tokio::time::sleep(REPEAT_PERIOD).await;
            None
        })
        .await
    }
}

async fn insist(what: &str, ask: impl Fn() -> RequestBuilder) -> Told {
    let begun = Instant::now();
    let (mut refused, mut unheard) = (BTreeMap::new(), 0);
    loop {
        match Answer::hear(ask()).await {
            Ok(answer) if !answer.asks_for_patience() => {
                return Told {
                    answer,
                    refused,
                    unheard,
                    took: begun.elapsed(),
                };
            }
            Ok(answer) => {
                let code = answer.body["code"].as_str().unwrap_or_default();
                *refused.entry(code.to_owned()).or_default() += 1;
            }
            Err(_) => unheard += 1,
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{what} was not answered within {PATIENCE:?}: {refused:?}, {unheard} times not at all"
        );
        tokio::time::sleep(REPEAT_PERIOD).await;
    }
}
