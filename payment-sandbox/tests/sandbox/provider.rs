//! A sandbox served on a free port, with a database of its own, and a client that speaks Stripe to it.

use std::{future::Future, time::Duration};

use payment_sandbox::{Config, Sandbox, serve};
use reqwest::{Client, RequestBuilder, StatusCode, header::HeaderMap};
use secrecy::SecretString;
use serde_json::Value;
use service_kit::{postgres, shutdown::Shutdown};
use sqlx::PgPool;
use tokio::{net::TcpListener, task::JoinHandle};
use uuid::Uuid;

use crate::receiver::Receiver;

pub const API_KEY: &str = "sk_test_sandbox";
pub const WEBHOOK_SECRET: &str = "whsec_sandbox";
/// Nothing in these tests may take longer.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Provider {
    pub base: String,
    pub client: Client,
    pub pool: PgPool,
    pub database_url: String,
    pub receiver: Receiver,
    shutdown: Shutdown,
    served: Option<JoinHandle<()>>,
}

/// An answer as a test looks at it.
#[derive(Debug)]
pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answered {
    pub fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.body
    }

    /// The refusal's status and code.
    pub fn refusal(&self) -> (u16, &str) {
        let code = self.body["error"]["code"].as_str().unwrap_or("");
        (self.status.as_u16(), code)
    }

    pub fn replayed(&self) -> bool {
        self.headers
            .get("idempotent-replayed")
            .is_some_and(|value| value == "true")
    }
}

impl Provider {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(adjust: impl FnOnce(&mut Config)) -> Self {
        let database_url = dev_servers::fresh_database().await.unwrap();
        Self::start_on(database_url, Receiver::start().await, adjust).await
    }

    pub async fn start_on(
        database_url: String,
        receiver: Receiver,
        adjust: impl FnOnce(&mut Config),
    ) -> Self {
        let pool = postgres::connect(&SecretString::from(database_url.clone()), "test", 12)
            .await
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let mut config = Config::new(API_KEY, WEBHOOK_SECRET, &base)
            .unwrap()
            .with_webhook_url(&receiver.url)
            .unwrap();
        config.slow_delay = Duration::from_millis(600);
        config.timeout_hold = Duration::from_millis(600);
        config.settle_delay = Duration::from_millis(300);
        adjust(&mut config);
        let sandbox = Sandbox::new(pool.clone(), config);
        sandbox.migrate().await.unwrap();
        let shutdown = Shutdown::new();
        let served = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { serve(&sandbox, listener, &shutdown).await.unwrap() }
        });
        let client = Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            base,
            client,
            pool,
            database_url,
            receiver,
            shutdown,
            served: Some(served),
        }
    }

    /// Stops in order; what stays is the database and whoever listens to webhooks.
    pub async fn stop(mut self) -> (String, Receiver) {
        self.shutdown.begin();
        within(self.served.take().unwrap()).await.unwrap();
        self.pool.close().await;
        (self.database_url.clone(), self.receiver.clone())
    }

    pub fn post_request(&self, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
        self.client
            .post(format!("{}{path}", self.base))
            .bearer_auth(API_KEY)
            .form(form)
    }

    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answered {
        answered(self.post_request(path, form)).await
    }

    pub async fn post_with_key(&self, path: &str, key: &str, form: &[(&str, &str)]) -> Answered {
        answered(self.post_request(path, form).header("Idempotency-Key", key)).await
    }

    pub async fn get(&self, path: &str) -> Answered {
        let request = self
            .client
            .get(format!("{}{path}", self.base))
            .bearer_auth(API_KEY);
        answered(request).await
    }

    /// Authorises a card for an order, as Waybill's adapter does.
    pub async fn authorise(&self, order: &str, token: &str, amount: i64) -> Answered {
        self.post(
            "/v1/payment_intents",
            &card_form(order, token, &amount.to_string()),
        )
        .await
    }

    /// A held amount, ready to be captured.
    pub async fn held(&self, order: &str, amount: i64) -> String {
        id_of(&self.authorise(order, "pm_card_visa", amount).await.ok())
    }

    pub async fn ledger(&self, order: &str) -> Value {
        let url = format!("{}/sandbox/ledger?order_id={order}", self.base);
        answered(self.client.get(url)).await.ok()
    }

    pub async fn order_faults(&self, faults: Value) {
        let url = format!("{}/sandbox/faults", self.base);
        let response = self.client.post(url).json(&faults).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

/// The form of a card payment; the texts live as long as the arguments.
pub fn card_form<'a>(
    order: &'a str,
    token: &'a str,
    amount: &'a str,
) -> Vec<(&'static str, &'a str)> {
    vec![
        ("amount", amount),
        ("currency", "eur"),
        ("confirm", "true"),
        ("capture_method", "manual"),
        ("payment_method", token),
        ("payment_method_types[]", "card"),
        ("metadata[order_id]", order),
    ]
}

pub async fn answered(request: RequestBuilder) -> Answered {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answered {
        status,
        headers,
        body,
    }
}

pub fn order() -> String {
    Uuid::now_v7().to_string()
}

pub fn id_of(object: &Value) -> String {
    object["id"].as_str().unwrap().to_owned()
}

/// Fails the test instead of waiting for ever.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("it took too long")
}

/// Asks until there is an answer.
pub async fn until<T, F>(mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    within(async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}
