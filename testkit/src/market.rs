//! A partner who sells, his products, and people who buy: all of it made through the API.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::deployment::Deployment;
use crate::person::Person;

/// A partner, and the admin who set him up.
pub struct Market {
    /// Somebody who may do everything.
    pub admin: Person,
    /// The partner's id.
    pub partner: String,
}

/// Something to buy.
#[derive(Debug, Clone)]
pub struct Product {
    /// Its id.
    pub id: String,
    /// What one costs, in cents.
    pub price: i64,
    /// Units that were received.
    pub received: u32,
}

fn eur(amount: i64) -> Value {
    json!({"amount": amount, "currency": "EUR"})
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

impl Market {
    /// A partner who may sell.
    pub async fn open(deployment: &Deployment) -> Self {
        let admin = deployment.person("admin", None).await;
        let partner = json!({
            "title": "P", "brand": "P", "phone": "+49 30 1", "email": "p@example.com", "address": "Berlin",
        });
        let partner = text(&admin.post("/v1/partners", &partner).await.ok()["id"]);
        for verb in ["verify", "enable"] {
            let path = format!("/v1/partners/{partner}/{verb}");
            admin.post(&path, &json!({})).await.ok();
        }
        Self { admin, partner }
    }

    /// A product that he offers, with so many units.
    pub async fn product(&self, price: i64, units: u32) -> Product {
        let sku = Uuid::now_v7().simple().to_string();
        let body = json!({"sku": sku, "name": "Thing", "brand": "P", "category": "things", "unit_cost": eur(400)});
        let id = text(&self.admin.post("/v1/products", &body).await.ok()["id"]);
        let path = format!("/v1/partners/{}/offers/{id}", self.partner);
        let offer = json!({"price": eur(price), "active": true});
        crate::answer(self.admin.request(Method::PUT, &path).json(&offer))
            .await
            .ok();
        if units > 0 {
            let path = format!("/v1/inventory/{id}/receive");
            let units = json!({"quantity": units});
            self.admin.post(&path, &units).await.ok();
        }
        Product {
            id,
            price,
            received: units,
        }
    }

    /// Somebody who buys.
    pub async fn customer(&self, deployment: &Deployment) -> Person {
        let email = format!("{}@example.com", Uuid::now_v7().simple());
        let body = json!({"name": "Ada", "email": email});
        let id = text(&self.admin.post("/v1/customers", &body).await.ok()["id"]);
        deployment.person("customer", Some(&id)).await
    }
}
