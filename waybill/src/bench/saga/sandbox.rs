//! The provider's limit: the two calls of an order, made by nothing but an HTTP client.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use async_trait::async_trait;
use payment_sandbox::{Config, Sandbox};
use reqwest::Client;
use secrecy::SecretString;
use serde_json::Value;
use service_kit::{Shutdown, postgres};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::customers::CARD;
use crate::bench::ground;
use crate::bench::race::{Contestant, Sample};
use crate::bench::times::Times;

const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// As many as a whole shop has for everything.
const SANDBOX_CONNECTIONS_MAX: u32 = 20;

/// Callers that each authorise and capture one payment after the other, at a sandbox of their own: the shop's would
/// tell the shop of payments that are not its.
pub struct SandboxCalls {
    http: Client,
    url: String,
    key: String,
    callers: usize,
    shutdown: Shutdown,
}

impl SandboxCalls {
    /// Starts the sandbox on an empty database.
    pub async fn start(database_url: &SecretString, callers: usize) -> anyhow::Result<Self> {
        let pool =
            postgres::connect(database_url, "bench sandbox", SANDBOX_CONNECTIONS_MAX).await?;
        ground::warm(&pool, callers.min(SANDBOX_CONNECTIONS_MAX as usize)).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let key = format!("sk_test_{}", Uuid::now_v7().simple());
        let secret = format!("whsec_{}", Uuid::now_v7().simple());
        let sandbox = Sandbox::new(pool, Config::new(key.clone(), secret, &url)?);
        sandbox.migrate().await?;
        let shutdown = Shutdown::new();
        let until = shutdown.clone();
        tokio::spawn(async move { payment_sandbox::serve(&sandbox, listener, &until).await });
        let http = Client::builder()
            .no_proxy()
            .timeout(REQUEST_LIMIT)
            .build()?;
        Ok(Self {
            http,
            url,
            key,
            callers,
            shutdown,
        })
    }
}

impl Drop for SandboxCalls {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

#[async_trait]
impl Contestant for SandboxCalls {
    async fn run(&mut self, about: Duration) -> anyhow::Result<Sample> {
        let begun = Instant::now();
        let mut callers = JoinSet::new();
        for _ in 0..self.callers {
            let (http, url, key) = (self.http.clone(), self.url.clone(), self.key.clone());
            callers.spawn(async move {
                let (mut orders, mut times) = (0, Times::new()?);
                while begun.elapsed() < about {
                    let at = Instant::now();
                    pay(&http, &url, &key).await?;
                    times.record(at.elapsed());
                    orders += 1;
                }
                anyhow::Ok((orders, times))
            });
        }
        let (mut orders, mut times) = (0, Times::new()?);
        for ended in callers.join_all().await {
            let (paid, took) = ended?;
            orders += paid;
            times.add(&took)?;
        }
        Ok(Sample {
            took: begun.elapsed(),
            amounts: vec![("orders", orders)],
            times: Some(times),
        })
    }
}

async fn pay(http: &Client, url: &str, key: &str) -> anyhow::Result<()> {
    let (order, effect) = (Uuid::now_v7().to_string(), Uuid::now_v7().to_string());
    let form = [
        ("amount", "1999"),
        ("currency", "eur"),
        ("payment_method", CARD),
        ("payment_method_types[]", "card"),
        ("confirm", "true"),
        ("capture_method", "manual"),
        ("metadata[order_id]", order.as_str()),
        ("metadata[effect_id]", effect.as_str()),
    ];
    let intent = post(http, key, &format!("{url}/v1/payment_intents"), &form).await?;
    let id = intent["id"].as_str().context("a payment without an id")?;
    post(
        http,
        key,
        &format!("{url}/v1/payment_intents/{id}/capture"),
        &[],
    )
    .await?;
    Ok(())
}

async fn post(http: &Client, key: &str, url: &str, form: &[(&str, &str)]) -> anyhow::Result<Value> {
    let idempotency_key = Uuid::now_v7().to_string();
    let request = http
        .post(url)
        .bearer_auth(key)
        .header("Idempotency-Key", idempotency_key)
        .form(form);
    let answer = request.send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    if !status.is_success() {
        bail!("the sandbox answered {status}: {text}");
    }
    Ok(serde_json::from_str(&text)?)
}
