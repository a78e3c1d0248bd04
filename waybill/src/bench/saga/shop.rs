//! A whole shop as a process: `waybill up` on the bench's servers.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::{Client, Method};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use service_kit::payment::ProviderAccount;
use service_kit::signing::{SigningKey, Tokens};
use service_kit::{Clock, Role, Settings};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::running::Running;

const READY_LIMIT: Duration = Duration::from_secs(60);
const READY_PERIOD: Duration = Duration::from_millis(50);
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(15);
const TOKEN_TTL: Duration = Duration::from_secs(12 * 60 * 60);
const STOCK: u32 = 1_000_000_000;

/// A shop that sells one product and never runs out of it.
pub struct Shop {
    settings: Settings,
    url: String,
    sandbox: ProviderAccount,
    http: Client,
    tokens: Tokens,
    admin: String,
    partner: Value,
    product: Value,
    process: Mutex<Option<Child>>,
}

impl Shop {
    /// Starts it and puts something on its shelf.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let address = free_address().await?;
        let mut settings = settings.clone();
        settings.http_addr = address.parse()?;
        let url = format!("http://{address}");
        let process = role(&settings, "up", &address)
            .spawn()
            .context("the shop's program")?;
        let http = Client::builder()
            .no_proxy()
            .timeout(REQUEST_LIMIT)
            .build()?;
        let key = SigningKey::load_or_create(&settings.signing_key_file)?;
        let tokens = Tokens::new(&key, Clock::system());
        let admin = tokens.issue(Role::Admin, Uuid::now_v7(), TOKEN_TTL)?;
        let mut shop = Self {
            sandbox: ProviderAccount::sandbox("", &key.installation_key()?),
            settings,
            url,
            http,
            tokens,
            admin,
            partner: Value::Null,
            product: Value::Null,
            process: Mutex::new(Some(process)),
        };
        shop.wait_until_ready().await?;
        let running =
            Running::read(&shop.settings.data_dir).context("the shop left no addresses")?;
        shop.sandbox.url = running.sandbox_url;
        shop.stock().await?;
        Ok(shop)
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.as_ref().and_then(Child::id)
    }

    /// The seller of the product.
    pub fn partner(&self) -> &Value {
        &self.partner
    }

    /// The product.
    pub fn product(&self) -> &Value {
        &self.product
    }

    /// A new customer's token.
    pub async fn customer(&self) -> anyhow::Result<String> {
        let email = format!("{}@example.com", Uuid::now_v7().simple());
        let admin = &self.admin;
        let customer = self
            .send(
                admin,
                Method::POST,
                "/v1/customers",
                &json!({"name": "Ada Byron", "email": email}),
            )
            .await?;
        let id = customer["id"]
            .as_str()
            .context("a customer without an id")?;
        Ok(self.tokens.issue(Role::Customer, id.parse()?, TOKEN_TTL)?)
    }

    /// A command in somebody's name, under a fresh idempotency key.
    pub async fn send(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let answer = self
            .http
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(token)
            .header("Idempotency-Key", Uuid::now_v7().to_string())
            .json(body)
            .send()
            .await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("{path} was answered {status}: {text}");
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// A second orchestrator, to be killed.
    pub async fn orchestrator(&self) -> anyhow::Result<Child> {
        let address = free_address().await?;
        let mut command = role(&self.settings, "saga-orchestrator", &address);
        command
            .env("WAYBILL_PAYMENT_URL", &self.sandbox.url)
            .env("WAYBILL_PAYMENT_KEY", self.sandbox.api_key.expose_secret())
            .env(
                "WAYBILL_PAYMENT_WEBHOOK_SECRET",
                self.sandbox.webhook_secret.expose_secret(),
            );
        command.spawn().context("the second orchestrator's program")
    }

    /// Ends it in order.
    pub async fn close(&self) {
        let process = self
            .process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut process) = process else { return };
        if let Some(pid) = process.id() {
            // An orderly end; the process is killed when it does not come.
            let _sent = Command::new("kill")
                .args(["-TERM", &pid.to_string()])
                .status()
                .await;
        }
        if tokio::time::timeout(STOP_LIMIT, process.wait())
            .await
            .is_err()
        {
            // Gone either way: dropping it kills it.
            drop(process);
        }
    }

    async fn wait_until_ready(&self) -> anyhow::Result<()> {
        let until = Instant::now() + READY_LIMIT;
        loop {
            let answer = self.http.get(format!("{}/readyz", self.url)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            let ended = {
                let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
                process
                    .as_mut()
                    .and_then(|process| process.try_wait().ok().flatten())
            };
            if let Some(status) = ended {
                bail!("the shop ended with {status} before it was ready");
            }
            if Instant::now() > until {
                bail!("the shop was not ready within {} s", READY_LIMIT.as_secs());
            }
            tokio::time::sleep(READY_PERIOD).await;
        }
    }

    async fn stock(&mut self) -> anyhow::Result<()> {
        let admin = self.admin.clone();
        let post = |path: String, body: Value| {
            let (shop, admin) = (&*self, &admin);
            async move { shop.send(admin, Method::POST, &path, &body).await }
        };
        let eur = |amount: i64| json!({"amount": amount, "currency": "EUR"});
        let partner = post("/v1/partners".into(), json!({
            "title": "Bench GmbH", "brand": "Bench", "phone": "+49 30 1234567", "email": "orders@bench.example",
            "address": "Hauptstr. 1, 10827 Berlin",
        }))
        .await?;
        let partner_id = text(&partner["id"])?;
        for verb in ["verify", "enable"] {
            post(format!("/v1/partners/{partner_id}/{verb}"), json!({})).await?;
        }
        let sku = format!("BENCH-{}", Uuid::now_v7().simple());
        let product = post("/v1/products".into(), json!({
            "sku": sku, "name": "Bench lamp", "brand": "Bench", "category": "lights", "unit_cost": eur(900),
        }))
        .await?;
        let product_id = text(&product["id"])?;
        let offer = json!({"price": eur(1999), "active": true});
        self.send(
            &admin,
            Method::PUT,
            &format!("/v1/partners/{partner_id}/offers/{product_id}"),
            &offer,
        )
        .await?;
        post(
            format!("/v1/inventory/{product_id}/receive"),
            json!({"quantity": STOCK, "reason": "bench"}),
        )
        .await?;
        self.partner = partner["id"].clone();
        self.product = product["id"].clone();
        Ok(())
    }
}

fn text(value: &Value) -> anyhow::Result<&str> {
    value.as_str().context("an answer without an id")
}

/// This very program in another role, on the same servers; killed when dropped.
pub(in crate::bench) fn role(settings: &Settings, role: &str, address: &str) -> Command {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("waybill"));
    let mut command = Command::new(program);
    command
        .arg(role)
        .env("WAYBILL_HTTP_ADDR", address)
        .env(
            "WAYBILL_NATS_URL",
            settings.nats_url.as_deref().unwrap_or_default().join(","),
        )
        .env(
            "WAYBILL_DATABASE_URL",
            settings
                .database_url
                .as_ref()
                .map_or("", SecretString::expose_secret),
        )
        .env("WAYBILL_DATA_DIR", &settings.data_dir)
        .env("WAYBILL_SIGNING_KEY_FILE", &settings.signing_key_file)
        .env(
            "WAYBILL_STREAM_REPLICAS",
            settings.stream_replicas.to_string(),
        )
        .env("WAYBILL_RATE_LIMIT", "off")
        .env("WAYBILL_LOG", "error")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

/// A port that nobody listens on now.
async fn free_address() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")
        .await?
        .local_addr()?
        .to_string())
}
