//! Sends seed commands: over HTTP to a shop that runs, or to the routes of this very process.

use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt as _;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A broker that is still warming up, or has too much to do, answers 503 or 429; this often it is asked again.
const TRIES_MAX: u32 = 20;
const RETRY_PERIOD: Duration = Duration::from_millis(250);
/// No answer of a command is larger.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Where commands go.
pub struct Sender(Way);

enum Way {
    Http {
        client: reqwest::Client,
        base_url: String,
    },
    InProcess(Router),
}

/// One command to send.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    pub method: Method,
    pub path: String,
    pub token: &'a str,
    pub key: String,
    pub body: Value,
}

impl Sender {
    /// To the shop at this address.
    pub fn http(base_url: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .no_proxy()
            .build()?;
        let base_url = base_url.to_owned();
        Ok(Self(Way::Http { client, base_url }))
    }

    /// To these routes.
    pub fn in_process(router: Router) -> Self {
        Self(Way::InProcess(router))
    }

    /// Sends one command; asks again while the shop says that it is not ready, under the same key.
    pub async fn send(&self, order: &Order<'_>) -> anyhow::Result<Value> {
        let (status, body) = self.ask(order).await?;
        if !status.is_success() {
            let (method, path) = (&order.method, &order.path);
            bail!("the seed command {method} {path} was answered {status}: {body}");
        }
        Ok(body)
    }

    /// As [`Sender::send`], where a "no" is an answer too.
    pub async fn ask(&self, order: &Order<'_>) -> anyhow::Result<(StatusCode, Value)> {
        let (method, path) = (&order.method, &order.path);
        for _ in 0..TRIES_MAX {
            let (status, text) = self
                .once(order)
                .await
                .with_context(|| format!("the seed command {method} {path} had no answer"))?;
            if matches!(
                status,
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
            ) {
                tokio::time::sleep(RETRY_PERIOD).await;
                continue;
            }
            return Ok((status, serde_json::from_slice(&text).unwrap_or(Value::Null)));
        }
        bail!("the seed command {method} {path} was answered \"unavailable\" {TRIES_MAX} times")
    }

    async fn once(&self, order: &Order<'_>) -> anyhow::Result<(StatusCode, Vec<u8>)> {
        let (method, body) = (order.method.clone(), serde_json::to_vec(&order.body)?);
        match &self.0 {
            Way::Http { client, base_url } => {
                let answer = client
                    .request(method, format!("{base_url}{}", order.path))
                    .bearer_auth(order.token)
                    .header(IDEMPOTENCY_KEY, &order.key)
                    .header(CONTENT_TYPE, "application/json")
                    .body(body)
                    .send()
                    .await?;
                Ok((answer.status(), answer.bytes().await?.to_vec()))
            }
            Way::InProcess(router) => {
                let request = Request::builder()
                    .method(method)
                    .uri(&order.path)
                    .header(AUTHORIZATION, format!("Bearer {}", order.token))
                    .header(IDEMPOTENCY_KEY, &order.key)
                    .header(CONTENT_TYPE, "application/json")
                    .body(Body::from(body))?;
                let answer = router.clone().oneshot(request).await?;
                let status = answer.status();
                let body = to_bytes(answer.into_body(), ANSWER_BYTES_MAX).await?;
                Ok((status, body.to_vec()))
            }
        }
    }
}
