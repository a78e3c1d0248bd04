//! A whole shop as a process: `waybill up` on the bench's servers.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, Method};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use service_kit::payment::ProviderAccount;
use service_kit::signing::{SigningKey, Tokens};
use service_kit::{Clock, Role, Settings};
use tokio::process::Child;
use uuid::Uuid;

use crate::bench::process::{self, Ready, RoleProcess};
use crate::running::Running;

const REQUEST_LIMIT: Duration = Duration::from_secs(30);
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
    process: RoleProcess,
}

impl Shop {
    /// Starts it and puts something on its shelf.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let process = RoleProcess::start(settings, "up", Ready::Says, |_| {}).await?;
        let mut settings = settings.clone();
        settings.http_addr = process.address().parse()?;
        let url = process.url();
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
            process,
        };
        let running =
            Running::read(&shop.settings.data_dir).context("the shop left no addresses")?;
        shop.sandbox.url = running.sandbox_url;
        shop.stock().await?;
        Ok(shop)
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Where its API is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// An admin's token.
    pub fn admin(&self) -> &str {
        &self.admin
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
        let address = process::free_address().await?;
        let mut command = process::command(&self.settings, "saga-orchestrator", &address);
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
        self.process.close().await;
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
