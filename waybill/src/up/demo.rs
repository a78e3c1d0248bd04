//! The demo shop: seeded through the same HTTP commands that everybody uses, once, and safe to repeat.
//!
//! Every seed command has a fixed idempotency key, so a start that was killed half-way is simply finished by the
//! next one. What a person changed afterwards is left alone: a finished seed is not run again.

use std::time::Duration;

use anyhow::{Context, bail};
use domain::customer::Customer;
use event_schema::ids::derived;
use event_store::{Executor, Freshness};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use service_kit::crypto::command_id;
use service_kit::settings::FirstAdmin;
use uuid::Uuid;

use crate::handles::Handles;

/// Changed with the seeded data, so that an older data folder is not asked for the same keys with other bodies.
const SEED_VERSION: &str = "demo-1";
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A broker that is still warming up answers 503; this often it is asked again.
const TRIES_MAX: u32 = 20;

/// What the story talks about.
#[derive(Debug, Clone)]
pub struct Demo {
    /// The story's customer.
    pub customer: Uuid,
    /// The seller.
    pub partner: Uuid,
    /// A product with plenty in stock.
    pub lamp: Uuid,
    /// A product of which one unit is in stock.
    pub bell: Uuid,
}

struct Product {
    key: &'static str,
    sku: &'static str,
    name: &'static str,
    category: &'static str,
    unit_cost: i64,
    price: i64,
    stock: u32,
}

const PRODUCTS: &[Product] = &[
    Product {
        key: "lamp",
        sku: "LAMP-1",
        name: "Bicycle lamp",
        category: "lights",
        unit_cost: 900,
        price: 1999,
        stock: 100,
    },
    Product {
        key: "helmet",
        sku: "HELMET-M",
        name: "Helmet",
        category: "safety",
        unit_cost: 2100,
        price: 4950,
        stock: 40,
    },
    Product {
        key: "bell",
        sku: "BELL-1",
        name: "Brass bell",
        category: "bells",
        unit_cost: 450,
        price: 1250,
        stock: 1,
    },
];

/// First the one that the story uses; the last one's existence tells that the seed was finished.
const CUSTOMERS: &[(&str, &str)] = &[
    ("Ada Byron", "ada@example.com"),
    ("Grace Hopper", "grace@example.com"),
];

const ADMIN_EMAIL: &str = "admin@example.com";
/// Hex digits: 80 bits.
const ADMIN_PASSWORD_CHARS: usize = 20;

/// The admin on whose behalf the demo is seeded.
pub fn admin_id() -> Uuid {
    derived(&["demo", "admin"])
}

/// The first admin: that of the settings, or one of the demo's own, whose password is the same at every start and
/// different in every installation.
pub fn first_admin(handles: &Handles) -> FirstAdmin {
    let own = || {
        let hash = handles
            .installation_key
            .keyed_hash("demo-admin-password", b"");
        FirstAdmin {
            email: ADMIN_EMAIL.to_owned(),
            password: SecretString::from(
                hash.chars().take(ADMIN_PASSWORD_CHARS).collect::<String>(),
            ),
        }
    };
    handles.settings.first_admin.clone().unwrap_or_else(own)
}

/// How to sign in as the first admin; a password from the settings is not repeated.
pub fn admin_login(handles: &Handles) -> String {
    let admin = first_admin(handles);
    match &handles.settings.first_admin {
        Some(_) => format!("Admin: {}, with WAYBILL_ADMIN_PASSWORD", admin.email),
        None => format!(
            "Admin: {}, password {} (POST /v1/auth/login)",
            admin.email,
            admin.password.expose_secret()
        ),
    }
}

/// Seeds the demo shop unless that was finished before.
pub async fn seed(base_url: &str, admin_token: &str, executor: &Executor) -> anyhow::Result<Demo> {
    let admin = admin_id();
    let created = |verb: &str, key: &str| command_id(admin, verb, &idempotency_key(key));
    let demo = Demo {
        customer: created("customers.add", CUSTOMERS[0].1),
        partner: created("partners.add", "partner"),
        lamp: created("products.add", "lamp"),
        bell: created("products.add", "bell"),
    };
    let last = created("customers.add", CUSTOMERS[CUSTOMERS.len() - 1].1);
    if executor
        .load::<Customer>(last, Freshness::Leader)
        .await?
        .version
        .0
        > 0
    {
        return Ok(demo);
    }
    let client = Client::new(base_url, admin_token)?;
    let partner = client
        .send(Method::POST, "/v1/partners", "partner", json!({
            "title": "Lumen GmbH", "brand": "Lumen", "phone": "+49 30 1234567", "email": "orders@lumen.example",
            "address": "Hauptstr. 1, 10827 Berlin",
        }))
        .await?;
    expect_id(&partner, demo.partner)?;
    for verb in ["verify", "enable"] {
        client
            .send(
                Method::POST,
                &format!("/v1/partners/{}/{verb}", demo.partner),
                verb,
                json!({}),
            )
            .await?;
    }
    for product in PRODUCTS {
        let eur = |amount: i64| json!({"amount": amount, "currency": "EUR"});
        let added = client
            .send(Method::POST, "/v1/products", product.key, json!({
                "sku": product.sku, "name": product.name, "brand": "Lumen", "category": product.category,
                "unit_cost": eur(product.unit_cost),
            }))
            .await?;
        let id = created("products.add", product.key);
        expect_id(&added, id)?;
        let offer = json!({"price": eur(product.price), "active": true});
        client
            .send(
                Method::PUT,
                &format!("/v1/partners/{}/offers/{id}", demo.partner),
                product.key,
                offer,
            )
            .await?;
        let stock = json!({"quantity": product.stock, "reason": "demo stock"});
        client
            .send(
                Method::POST,
                &format!("/v1/inventory/{id}/receive"),
                product.key,
                stock,
            )
            .await?;
    }
    for (name, email) in CUSTOMERS {
        client
            .send(
                Method::POST,
                "/v1/customers",
                email,
                json!({"name": name, "email": email}),
            )
            .await?;
    }
    Ok(demo)
}

fn idempotency_key(key: &str) -> String {
    format!("{SEED_VERSION}-{key}")
}

/// The story's ids are derived, not read back; a difference means that the derivation changed.
fn expect_id(answer: &Value, id: Uuid) -> anyhow::Result<()> {
    if answer["id"] != json!(id) {
        bail!(
            "the seed expected the id {id}, the API answered {}",
            answer["id"]
        );
    }
    Ok(())
}

struct Client<'a> {
    http: reqwest::Client,
    base_url: &'a str,
    token: &'a str,
}

impl<'a> Client<'a> {
    fn new(base_url: &'a str, token: &'a str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            base_url,
            token,
        })
    }

    /// Sends one command; asks again while the API says that it is not ready, under the same key.
    async fn send(
        &self,
        method: Method,
        path: &str,
        key: &str,
        body: Value,
    ) -> anyhow::Result<Value> {
        for _ in 0..TRIES_MAX {
            let answer = self
                .http
                .request(method.clone(), format!("{}{path}", self.base_url))
                .bearer_auth(self.token)
                .header("Idempotency-Key", idempotency_key(key))
                .json(&body)
                .send()
                .await
                .with_context(|| format!("the seed command {method} {path} had no answer"))?;
            let status = answer.status();
            if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS
            {
                tokio::time::sleep(Duration::from_millis(250)).await;
                continue;
            }
            let text = answer.text().await?;
            if !status.is_success() {
                bail!("the seed command {method} {path} was answered {status}: {text}");
            }
            return Ok(serde_json::from_str(&text).unwrap_or(Value::Null));
        }
        bail!("the seed command {method} {path} was answered \"unavailable\" {TRIES_MAX} times")
    }
}
