//! A shop with a partner whose system speaks to us, and people who buy and bring.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use testkit::{Answer, Person, Shop, answer, within};
use uuid::Uuid;

use crate::WAYBILL;

/// The shop and who is in it.
pub struct Stage {
    pub shop: Shop,
    pub admin: Person,
    /// The partner's id.
    pub partner: String,
    /// Somebody who acts for the partner.
    pub seller: Person,
    secret: String,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

impl Stage {
    /// A partner who may sell, and whose webhook secret we have seen.
    pub async fn open() -> Self {
        let mut shop = Shop::start(WAYBILL, &[]).await;
        let admin = shop.admin();
        let partner = json!({
            "title": "Corner Bakery Ltd", "brand": "Corner Bakery", "phone": "+49 30 5550100",
            "email": "orders@bakery.example", "address": "1 Main Street",
        });
        let added = admin.post("/v1/partners", &partner).await.ok();
        let partner = text(&added["id"]);
        for verb in ["verify", "enable"] {
            let path = format!("/v1/partners/{partner}/{verb}");
            admin.post(&path, &json!({})).await.ok();
        }
        let seller = someone(&shop, "partner", &partner).await;
        Self {
            admin,
            seller,
            secret: text(&added["webhook_secret"]),
            partner,
            shop,
        }
    }

    /// A product of the partner: 20.00 each, 8.00 what it costs him.
    pub async fn product(&self, brand: &str, units: u32) -> String {
        let eur = |amount: i64| json!({"amount": amount, "currency": "EUR"});
        let body = json!({
            "sku": Uuid::now_v7().simple().to_string(), "name": format!("{brand} mug"), "brand": brand,
            "category": "kitchen", "unit_cost": eur(800),
        });
        let id = text(&self.seller.post("/v1/products", &body).await.ok()["id"]);
        let path = format!("/v1/partners/{}/offers/{id}", self.partner);
        let offer = json!({"price": eur(2000), "active": true});
        answer(self.seller.request(Method::PUT, &path).json(&offer))
            .await
            .ok();
        let path = format!("/v1/inventory/{id}/receive");
        self.seller
            .post(&path, &json!({"quantity": units}))
            .await
            .ok();
        id
    }

    /// Somebody who buys.
    pub async fn customer(&self) -> Person {
        let email = format!("{}@example.com", Uuid::now_v7().simple());
        let body = json!({"name": "Ada", "email": email});
        let added = self.admin.post("/v1/customers", &body).await.ok();
        someone(&self.shop, "customer", &text(&added["id"])).await
    }

    /// Somebody who brings, and his id.
    pub async fn deliverer(&self) -> (Person, String) {
        let id = Uuid::now_v7().to_string();
        (someone(&self.shop, "deliverer", &id).await, id)
    }

    /// An order of the customer that is paid and in stock.
    pub async fn confirmed(&self, customer: &Person, product: &str, quantity: u32) -> String {
        let order = customer
            .order(&self.partner, product, quantity, "pm_card_visa")
            .await;
        customer.order_becomes(&order, "confirmed").await;
        order
    }

    /// The partner's own system speaks, signed as Standard Webhooks says.
    pub async fn partners_system_says(&self, id: &str, message: &Value) -> Answer {
        let body = message.to_string();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let at = now.as_secs();
        let bytes = STANDARD
            .decode(self.secret.strip_prefix("whsec_").unwrap())
            .unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        let signature = hmac::sign(&key, format!("{id}.{at}.{body}").as_bytes());
        let url = format!("{}/v1/webhooks/partners/{}", self.shop.url(), self.partner);
        let client = Client::builder().no_proxy().build().unwrap();
        let request = client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", at)
            .header(
                "webhook-signature",
                format!("v1,{}", STANDARD.encode(signature)),
            )
            .body(body);
        answer(request).await
    }
}

/// A person with a token of this role.
pub async fn someone(shop: &Shop, role: &str, id: &str) -> Person {
    let token = shop
        .operator(&["token", "--role", role, "--subject", id])
        .await;
    Person::new(&shop.url(), token.trim())
}

/// The kinds of everything in the inbox, newest first, as soon as the newest is this one.
pub async fn told(person: &Person, newest: &str) -> Vec<String> {
    within(&format!("the inbox tells {newest}"), || async {
        let inbox = person.get("/v1/notifications?limit=100").await.ok();
        let kinds = kinds(&inbox);
        (kinds.first().map(String::as_str) == Some(newest)).then_some(kinds)
    })
    .await
}

pub fn kinds(inbox: &Value) -> Vec<String> {
    let rows = inbox["data"].as_array().unwrap().iter();
    rows.map(|row| text(&row["kind"])).collect()
}
