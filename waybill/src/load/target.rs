//! The shop that is loaded, and who buys in it.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, Method};
use serde::Serialize;
use serde_json::{Value, json};
use service_kit::signing::{SigningKey, Tokens};
use service_kit::{Clock, Role, Settings};
use uuid::Uuid;

use super::options::LoadOptions;
use crate::bench::Shop;

/// An answer that takes longer is none. Beyond the shop's own limit.
const ANSWER_LIMIT: Duration = Duration::from_secs(40);
const TOKEN_TTL: Duration = Duration::from_secs(12 * 60 * 60);
/// Connections that are kept; the rest is opened as a crowd would.
const IDLE_CONNECTIONS_MAX: usize = 512;
const STOCK: u32 = 1_000_000_000;

/// Who buys what, where.
pub struct Target {
    /// Base address.
    pub url: String,
    /// Sends everything.
    pub http: Client,
    /// Tokens.
    pub customers: Vec<String>,
    /// Somebody who may see how far the read models are.
    pub admin: Option<String>,
    /// Who sells.
    pub partner: Value,
    /// What is bought.
    pub product: Value,
    /// Whose shop it is.
    pub whose: Whose,
}

/// Whose shop it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// One of its own.
    Own,
    /// One that runs.
    Running,
}

fn client() -> anyhow::Result<Client> {
    Ok(Client::builder()
        .no_proxy()
        .timeout(ANSWER_LIMIT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .build()?)
}

impl Target {
    /// A shop of its own.
    pub async fn own(options: &LoadOptions, shop: &Shop) -> anyhow::Result<Self> {
        let mut customers = Vec::with_capacity(options.customers.into());
        for _ in 0..options.customers {
            customers.push(shop.customer().await?);
        }
        Ok(Self {
            url: shop.url().to_owned(),
            http: client()?,
            customers,
            admin: Some(shop.admin().to_owned()),
            partner: shop.partner().clone(),
            product: shop.product().clone(),
            whose: Whose::Own,
        })
    }

    /// The shop that runs at the address of the options, if they name one.
    pub async fn running(
        options: &LoadOptions,
        settings: &Settings,
    ) -> anyhow::Result<Option<Self>> {
        let Some(url) = &options.url else {
            return Ok(None);
        };
        let mut target = Self {
            url: url.trim_end_matches('/').to_owned(),
            http: client()?,
            customers: Vec::new(),
            admin: None,
            partner: Value::Null,
            product: Value::Null,
            whose: Whose::Running,
        };
        match (&options.token, options.partner, options.product) {
            (Some(token), Some(partner), Some(product)) => {
                target.customers.push(token.clone());
                target.partner = json!(partner);
                target.product = json!(product);
            }
            _ => target.furnish(options, settings).await?,
        }
        Ok(Some(target))
    }

    /// A partner, something to buy and customers, made with tokens of the shop's own key.
    async fn furnish(&mut self, options: &LoadOptions, settings: &Settings) -> anyhow::Result<()> {
        let file = &settings.signing_key_file;
        if !file.is_file() {
            bail!(
                "the shop's signing key is not at {} (WAYBILL_SIGNING_KEY_FILE), so nobody can be made to buy; name it, \
                 or a customer with --token, --partner and --product",
                file.display()
            );
        }
        let tokens = Tokens::new(&SigningKey::load_or_create(file)?, Clock::system());
        let admin = tokens.issue(Role::Admin, Uuid::now_v7(), TOKEN_TTL)?;
        let eur = |amount: i64| json!({"amount": amount, "currency": "EUR"});
        let partner = json!({
            "title": "Load Ltd", "brand": "Load", "phone": "+49 30 5550100", "email": "orders@load.example",
            "address": "1 Main Street",
        });
        self.partner = self.make(&admin, "/v1/partners", &partner).await?;
        let partner = text(&self.partner)?.to_owned();
        for verb in ["verify", "enable"] {
            let path = format!("/v1/partners/{partner}/{verb}");
            self.send(&admin, Method::POST, &path, &json!({})).await?;
        }
        let sku = format!("LOAD-{}", Uuid::now_v7().simple());
        let product = json!({
            "sku": sku, "name": "Load lamp", "brand": "Load", "category": "lights", "unit_cost": eur(900),
        });
        self.product = self.make(&admin, "/v1/products", &product).await?;
        let product = text(&self.product)?.to_owned();
        let path = format!("/v1/partners/{partner}/offers/{product}");
        let offer = json!({"price": eur(1_999), "active": true});
        self.send(&admin, Method::PUT, &path, &offer).await?;
        let path = format!("/v1/inventory/{product}/receive");
        let stock = json!({"quantity": STOCK, "reason": "load"});
        self.send(&admin, Method::POST, &path, &stock).await?;
        for _ in 0..options.customers {
            let email = format!("{}@load.example", Uuid::now_v7().simple());
            let customer = json!({"name": "Ada Byron", "email": email});
            let id = self.make(&admin, "/v1/customers", &customer).await?;
            let id = text(&id)?.parse()?;
            self.customers
                .push(tokens.issue(Role::Customer, id, TOKEN_TTL)?);
        }
        self.admin = Some(admin);
        Ok(())
    }

    /// Creates something; gives its id.
    async fn make(&self, token: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let made = self.send(token, Method::POST, path, body).await?;
        Ok(made["id"].clone())
    }

    /// A command that has to succeed. Whoever is turned away for a moment comes back.
    async fn send(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let key = Uuid::now_v7().to_string();
        let command = || {
            self.http
                .request(method.clone(), format!("{}{path}", self.url))
                .bearer_auth(token)
                .header("Idempotency-Key", &key)
                .json(body)
        };
        let answer = super::verify::patiently(command)
            .await
            .with_context(|| format!("{path} at {}", self.url))?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("{path} was answered {status}: {text}");
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}

fn text(value: &Value) -> anyhow::Result<&str> {
    value.as_str().context("an answer without an id")
}
