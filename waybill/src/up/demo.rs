//! The demo shop: seeded by the same commands that everybody uses, once, and safe to repeat.
//!
//! Every seed command has a fixed idempotency key, so a start that was killed half-way is simply finished by the
//! next one. What a person changed afterwards is left alone: a finished seed is not run again.

use anyhow::bail;
use axum::http::Method;
use domain::resource::Resource;
use event_schema::ids::derived;
use event_store::{Executor, Freshness};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use service_kit::crypto::command_id;
use service_kit::settings::FirstAdmin;
use uuid::Uuid;

use super::messages::Messages;
use crate::handles::Handles;
use crate::seed::{Order, Sender};

/// Changed with the seeded data, so that an older data folder is not asked for the same keys with other bodies.
const SEED_VERSION: &str = "demo-1";

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

/// First the one that the story uses.
const CUSTOMERS: &[(&str, &str)] = &[
    ("Ada Byron", "ada@example.com"),
    ("Grace Hopper", "grace@example.com"),
];

/// How the first of them is reached, besides by mail.
const PHONE: &str = "+49 30 7654321";
const PUSH_TOKEN: &str = "demo-phone-of-ada";

/// Cloud resources that customers can be given: name, type, region.
const RESOURCES: &[(&str, &str, &str)] = &[
    ("Lambda", "function", "us-west-1"),
    ("Dynamic DB", "database", "us-west-1"),
    ("Pubsub", "event", "us-central-1"),
    ("Small machine", "vm", "eu-central-1"),
    ("Large machine", "vm", "eu-west-1"),
    ("Block storage", "storage", "eu-central-1"),
    ("Object storage", "storage", "us-west-1"),
];
/// That it exists tells that the seed was finished.
const LAST_RESOURCE: (&str, &str, &str) = ("Relational database", "database", "eu-central-1");

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

/// What there is around a demo shop that runs.
pub struct Neighbours<'a> {
    /// Where its seller has a system.
    pub messages: &'a Messages,
    /// A customer's token.
    pub customer_token: &'a (dyn Fn(Uuid) -> anyhow::Result<String> + Sync),
}

/// Seeds the demo shop unless that was finished before. Beside a message sandbox its seller has a system there, and its
/// first customer a phone that is pushed to.
pub async fn seed(
    sender: &Sender,
    admin_token: &str,
    executor: &Executor,
    neighbours: Option<&Neighbours<'_>>,
) -> anyhow::Result<Demo> {
    let admin = admin_id();
    let created = |verb: &str, key: &str| command_id(admin, verb, &idempotency_key(key));
    let demo = Demo {
        customer: created("customers.add", CUSTOMERS[0].1),
        partner: created("partners.add", "partner"),
        lamp: created("products.add", "lamp"),
        bell: created("products.add", "bell"),
    };
    let last = created("resources.add", &resource_key(LAST_RESOURCE.0));
    let known = executor.load::<Resource>(last, Freshness::Leader).await?;
    if known.version.0 > 0 {
        return Ok(demo);
    }
    let send = |method: Method, path: String, key: &str, body: Value| {
        let order = Order {
            method,
            path,
            token: admin_token,
            key: idempotency_key(key),
            body,
        };
        async move { sender.send(&order).await }
    };
    let post = |path: String, key: &str, body: Value| send(Method::POST, path, key, body);
    let partner = json!({
        "title": "Lumen GmbH", "brand": "Lumen", "phone": "+49 30 1234567", "email": "orders@lumen.example",
        "address": "Hauptstr. 1, 10827 Berlin",
    });
    let partner = post("/v1/partners".into(), "partner", partner).await?;
    expect_id(&partner, demo.partner)?;
    for verb in ["verify", "enable"] {
        let path = format!("/v1/partners/{}/{verb}", demo.partner);
        post(path, verb, json!({})).await?;
    }
    for product in PRODUCTS {
        let eur = |amount: i64| json!({"amount": amount, "currency": "EUR"});
        let body = json!({
            "sku": product.sku, "name": product.name, "brand": "Lumen", "category": product.category,
            "unit_cost": eur(product.unit_cost),
        });
        let added = post("/v1/products".into(), product.key, body).await?;
        let id = created("products.add", product.key);
        expect_id(&added, id)?;
        let offer = json!({"price": eur(product.price), "active": true});
        let path = format!("/v1/partners/{}/offers/{id}", demo.partner);
        send(Method::PUT, path, product.key, offer).await?;
        let stock = json!({"quantity": product.stock, "reason": "demo stock"});
        post(format!("/v1/inventory/{id}/receive"), product.key, stock).await?;
    }
    for (name, email) in CUSTOMERS {
        let body = json!({"name": name, "email": email});
        post("/v1/customers".into(), email, body).await?;
    }
    if let Some(Neighbours {
        messages,
        customer_token,
    }) = neighbours
    {
        let path = format!("/v1/partners/{}", demo.partner);
        let webhook_url = messages.seller_webhook();
        // The port is part of the key: it may be another one when a seed that was broken off is finished.
        let body = json!({"webhook_url": webhook_url});
        send(Method::PATCH, path, &format!("webhook-{webhook_url}"), body).await?;
        let order = Order {
            method: Method::PATCH,
            path: "/v1/me".to_owned(),
            token: &customer_token(demo.customer)?,
            key: idempotency_key("phone"),
            body: json!({"phone": PHONE, "push_token": PUSH_TOKEN}),
        };
        sender.send(&order).await?;
    }
    for (name, kind, region) in RESOURCES.iter().chain([&LAST_RESOURCE]) {
        let body = json!({"name": name, "type": kind, "region": region});
        post("/v1/resources".into(), &resource_key(name), body).await?;
    }
    Ok(demo)
}

/// Keys are visible ASCII without spaces.
fn resource_key(name: &str) -> String {
    format!("resource-{}", name.to_lowercase().replace(' ', "-"))
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
