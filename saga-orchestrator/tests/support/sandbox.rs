//! A payment sandbox over real HTTP, with its ledger and its faults.

use std::time::{Duration, Instant};

use payment_sandbox::{Config, Sandbox};
use reqwest::{RequestBuilder, Response, StatusCode};
use saga_orchestrator::provider::Stripe;
use secrecy::SecretString;
use serde_json::{Value, json};
use service_kit::payment::ProviderAccount;
use service_kit::{Shutdown, postgres};
use tokio::net::TcpListener;

const API_KEY: &str = "sk_test_orchestrator";
const WEBHOOK_SECRET: &str = "whsec_orchestrator";
const CONNECTIONS_MAX: u32 = 12;

/// How long the adapter waits for an answer in these tests.
pub const ANSWER_DEADLINE: Duration = Duration::from_millis(1_500);

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// A provider that runs until it is dropped.
pub struct Provider {
    pub base_url: String,
    http: reqwest::Client,
    shutdown: Shutdown,
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

impl Provider {
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Callbacks go to `webhook_url`.
    pub async fn start_with(webhook_url: Option<&str>) -> Self {
        Self::start_settling_after(webhook_url, Duration::from_secs(1)).await
    }

    /// What becomes of a refund that does not end at once is decided so much later.
    pub async fn start_settling_after(webhook_url: Option<&str>, settles: Duration) -> Self {
        let url = dev_servers::fresh_database().await.unwrap();
        let pool = postgres::connect(&SecretString::from(url), "sandbox", CONNECTIONS_MAX)
            .await
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let mut config = Config::new(API_KEY, WEBHOOK_SECRET, &base_url).unwrap();
        if let Some(webhook_url) = webhook_url {
            config = config.with_webhook_url(webhook_url).unwrap();
        }
        config.slow_delay = ANSWER_DEADLINE + Duration::from_millis(700);
        config.timeout_hold = Duration::from_secs(20);
        config.settle_delay = settles;
        let sandbox = Sandbox::new(pool, config);
        sandbox.migrate().await.unwrap();
        let shutdown = Shutdown::new();
        let ends = shutdown.clone();
        tokio::spawn(async move { payment_sandbox::serve(&sandbox, listener, &ends).await });
        Self {
            base_url,
            http: reqwest::Client::new(),
            shutdown,
        }
    }

    pub fn account(&self) -> ProviderAccount {
        ProviderAccount {
            id: "sandbox".into(),
            url: self.base_url.clone(),
            api_key: SecretString::from(API_KEY),
            webhook_secret: SecretString::from(WEBHOOK_SECRET),
        }
    }

    pub fn adapter(&self) -> Stripe {
        Stripe::new(
            &self.account(),
            "http://shop.test",
            ANSWER_DEADLINE,
            Duration::from_secs(900),
        )
        .unwrap()
    }

    /// What the provider knows of an order.
    pub async fn ledger(&self, order: impl ToString) -> Value {
        let url = format!(
            "{}/sandbox/ledger?order_id={}",
            self.base_url,
            order.to_string()
        );
        let answer = self.insists(|| self.http.get(&url)).await;
        answer.json().await.unwrap()
    }

    /// What the test itself wants of the provider, whose database may be busy with what the shop wants of it.
    async fn insists(&self, request: impl Fn() -> RequestBuilder) -> Response {
        let started = Instant::now();
        loop {
            let answer = request().send().await.unwrap();
            if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
                return answer;
            }
            assert!(started.elapsed() < PATIENCE, "{answer:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// One of the sums of an order's ledger.
    pub async fn total(&self, order: impl ToString, name: &str) -> i64 {
        self.ledger(order).await["totals"][name].as_i64().unwrap()
    }

    /// How many calls of one operation reached the provider.
    pub async fn calls(&self, order: impl ToString, operation: &str) -> usize {
        let ledger = self.ledger(order).await;
        ledger["calls"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|call| call["operation"] == operation)
            .count()
    }

    /// The next calls of an operation about an order fail.
    pub async fn fail(&self, order: impl ToString, operation: &str, kind: &str, times: u32) {
        self.fail_for(order, operation, kind, times, 0).await;
    }

    /// The next calls of an operation about an order fail, or are answered so much later.
    pub async fn fail_for(
        &self,
        order: impl ToString,
        operation: &str,
        kind: &str,
        times: u32,
        delay_ms: u32,
    ) {
        let fault = json!({
            "operation": operation, "kind": kind, "times": times, "delay_ms": delay_ms, "order_id": order.to_string(),
        });
        let url = format!("{}/sandbox/faults", self.base_url);
        let answer = self.insists(|| self.http.post(&url).json(&fault)).await;
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Confirms an order's declined payment with another card, past the shop.
    pub async fn approve_declined(&self, order: impl ToString, token: &str) {
        let ledger = self.ledger(order).await;
        let intent = ledger["intents"][0]["id"].as_str().unwrap().to_owned();
        let url = format!("{}/v1/payment_intents/{intent}/confirm", self.base_url);
        let form = [
            ("payment_method", token),
            ("return_url", "http://shop.test"),
        ];
        let answer = self
            .http
            .post(url)
            .bearer_auth(API_KEY)
            .form(&form)
            .send()
            .await
            .unwrap();
        assert!(
            answer.status().is_success(),
            "{}",
            answer.text().await.unwrap()
        );
    }

    /// Somebody lets an order's authorised money go in the provider's dashboard, past the shop.
    pub async fn cancel_by_hand(&self, order: impl ToString) -> bool {
        let ledger = self.ledger(order).await;
        let intent = ledger["intents"][0]["id"].as_str().unwrap().to_owned();
        let url = format!("{}/v1/payment_intents/{intent}/cancel", self.base_url);
        let answer = self
            .http
            .post(url)
            .bearer_auth(API_KEY)
            .header("Idempotency-Key", uuid::Uuid::now_v7().to_string());
        answer.send().await.unwrap().status().is_success()
    }

    /// Somebody takes an order's authorised money in the provider's dashboard, past the shop.
    pub async fn capture_by_hand(&self, order: impl ToString) {
        let ledger = self.ledger(order).await;
        let intent = ledger["intents"][0]["id"].as_str().unwrap().to_owned();
        let url = format!("{}/v1/payment_intents/{intent}/capture", self.base_url);
        let answer = self
            .http
            .post(url)
            .bearer_auth(API_KEY)
            .header("Idempotency-Key", uuid::Uuid::now_v7().to_string())
            .send()
            .await
            .unwrap();
        assert!(
            answer.status().is_success(),
            "{}",
            answer.text().await.unwrap()
        );
    }

    /// Somebody gives an order's taken money back in the provider's dashboard, past the shop; tried again when a fault
    /// that is set for the order hits this call.
    pub async fn refund_by_hand(&self, order: impl ToString) -> bool {
        let ledger = self.ledger(order).await;
        let intent = ledger["intents"][0]["id"].as_str().unwrap().to_owned();
        for _ in 0..10 {
            let sent = self
                .http
                .post(format!("{}/v1/refunds", self.base_url))
                .bearer_auth(API_KEY)
                .header("Idempotency-Key", uuid::Uuid::now_v7().to_string())
                .form(&[("payment_intent", &intent)])
                .send();
            if let Ok(answer) = sent.await {
                return answer.status().is_success();
            }
        }
        false
    }

    /// A customer pays on the hosted page.
    pub async fn pay(&self, page: &str, token: &str) {
        assert!(self.takes(page, token).await, "{page} is closed");
    }

    /// A customer pays on the hosted page, if it is still open.
    pub async fn takes(&self, page: &str, token: &str) -> bool {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let answer = client
            .post(page)
            .form(&[("token", token)])
            .send()
            .await
            .unwrap();
        answer.status().is_redirection()
    }
}
