//! Somebody with a token who uses the API.

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use crate::program::within;

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

/// A caller.
#[derive(Clone)]
pub struct Person {
    http: Client,
    base_url: String,
    token: String,
}

impl Person {
    /// Somebody who holds the token.
    pub fn new(base_url: &str, token: &str) -> Self {
        let http = Client::builder().no_proxy().build().unwrap();
        Self {
            http,
            base_url: base_url.to_owned(),
            token: token.to_owned(),
        }
    }

    /// A request in his name.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base_url))
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
    let response = request.send().await.unwrap();
    let header = |name: &str| Some(response.headers().get(name)?.to_str().unwrap().to_owned());
    let (status, position, retry_after) = (
        response.status(),
        header("waybill-position"),
        header("retry-after"),
    );
    let text = response.text().await.unwrap();
    Answer {
        status,
        position: position.map(|text| text.parse().unwrap()),
        retry_after,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
    }
}
