//! A shop with one of everything, and a good body for every route that takes one.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Person, Shop, answer};
use uuid::Uuid;

use crate::WAYBILL;
use crate::route::Route;

/// A running shop and what is in it.
pub struct Stage {
    shop: Shop,
    pub routes: Vec<Route>,
    pub admin: Person,
    pub customer: Person,
    pub partner: String,
    pub product: String,
    pub member: String,
    pub resource: String,
    pub order: String,
}

fn eur(amount: u32) -> Value {
    json!({"amount": amount, "currency": "EUR"})
}

fn id(answer: Value) -> String {
    answer["id"].as_str().unwrap().to_owned()
}

impl Stage {
    /// Nobody is asked to slow down: 50 at once are what these tests are about.
    pub async fn open() -> Self {
        // Nobody is told anything outside, so that the log stands still when nobody commands.
        let quiet = [("WAYBILL_RATE_LIMIT", "off"), ("WAYBILL_NOTIFIER", "off")];
        let mut shop = Shop::start(WAYBILL, &quiet).await;
        let (admin, customer) = (shop.admin(), shop.customer());
        let partner = shop.exported("PARTNER");
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let served = http.get(format!("{}/openapi.json", shop.url()));
        let document: Value = served.send().await.unwrap().json().await.unwrap();
        let product = json!({
            "sku": Uuid::now_v7().simple().to_string(), "name": "Thing", "brand": "P", "category": "things",
            "unit_cost": eur(400), "partner_id": partner,
        });
        let product = id(admin.post("/v1/products", &product).await.ok());
        let offer = json!({"price": eur(900), "active": true});
        let path = format!("/v1/partners/{partner}/offers/{product}");
        answer(admin.request(Method::PUT, &path).json(&offer))
            .await
            .ok();
        let path = format!("/v1/inventory/{product}/receive");
        admin.post(&path, &json!({"quantity": 500})).await.ok();
        let member = json!({"name": "Ada", "email": "member@example.org"});
        let member = id(admin.post("/v1/customers", &member).await.ok());
        let resource = json!({"name": "vm", "type": "compute", "region": "eu-west-1"});
        let resource = id(admin.post("/v1/resources", &resource).await.ok());
        let order = customer.order(&partner, &product, 1, "pm_card_visa").await;
        customer.order_becomes(&order, "confirmed").await;
        Self {
            shop,
            routes: Route::all(&document),
            admin,
            customer,
            partner,
            product,
            member,
            resource,
            order,
        }
    }

    /// Somebody with the role, and with this id if he has one.
    pub async fn person(&self, role: &str, subject: Option<&str>) -> Person {
        let mut arguments = vec!["token", "--role", role];
        if let Some(subject) = subject {
            arguments.extend(["--subject", subject]);
        }
        let token = self.shop.operator(&arguments).await;
        Person::new(&self.shop.url(), token.trim())
    }

    /// Who may come here: the shop's admin if he may, else its customer, else somebody with the role.
    pub async fn user(&self, route: &Route) -> Person {
        let roles = route.roles();
        let may = |role: &str| roles.contains(&role);
        if may("admin") {
            self.admin.clone()
        } else if may("customer") {
            self.customer.clone()
        } else if may("partner") {
            self.person("partner", Some(&self.partner)).await
        } else {
            self.person(roles[0], None).await
        }
    }

    /// The path with the ids of what there is.
    pub fn path(&self, route: &Route) -> String {
        let own = match route.path.split('/').nth(2).unwrap() {
            "partners" => &self.partner,
            "customers" => &self.member,
            "products" | "inventory" => &self.product,
            "resources" => &self.resource,
            _ => &self.order,
        };
        route
            .path
            .replace("{product_id}", &self.product)
            .replace("{resource_id}", &self.resource)
            .replace("{order_id}", &self.order)
            .replace("{id}", own)
    }

    /// The path with ids that nobody has.
    pub fn path_to_nothing(&self, route: &Route) -> String {
        route.ids().iter().fold(route.path.clone(), |path, name| {
            path.replace(&format!("{{{name}}}"), &Uuid::now_v7().to_string())
        })
    }

    /// A quote for one unit.
    pub async fn quote(&self) -> Value {
        let lines = json!([{"product_id": self.product, "quantity": 1}]);
        self.customer.check(&self.partner, &lines).await.ok()["quote_id"].clone()
    }

    /// A good body for the route, another one at each call; nothing for a route that takes none.
    pub async fn body(&self, route: &Route) -> Option<Value> {
        if !route.takes_json() {
            return None;
        }
        let fresh = Uuid::now_v7().simple().to_string();
        let saga = json!({"reason": "ticket 1"});
        let address = format!("{fresh}@example.org");
        Some(match route.name.as_str() {
            "add_customer" => json!({"name": "Eve", "email": address}),
            "change_customer" => json!({"name": format!("Ada {fresh}")}),
            "change_me" => json!({"name": fresh}),
            "add_resource" => json!({"name": fresh, "type": "compute", "region": "eu-west-1"}),
            "change_resource" => json!({"name": fresh}),
            "assign_resource" => json!({"resource_id": self.resource}),
            "add_partner" => json!({
                "title": fresh, "brand": "P", "phone": "+49 30 1", "email": address, "address": "Berlin",
            }),
            "change_partner" => json!({"title": fresh}),
            "add_product" => json!({
                "sku": fresh, "name": "Thing", "brand": "P", "category": "things", "unit_cost": eur(400),
            }),
            "change_product" => json!({"name": fresh}),
            "set_offer" => json!({"price": eur(901), "active": true}),
            "receive_stock" => json!({"quantity": 3, "reason": fresh}),
            "adjust_stock" => json!({"quantity": 2, "reason": fresh}),
            "set_threshold" => json!({"low_stock_threshold": 7}),
            "set_payment_provider" => {
                json!({"id": "sandbox", "title": fresh, "active": true, "checkout": true})
            }
            "replay_partner_webhooks" => json!({
                "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T01:00:00Z",
            }),
            "set_notification_agent" => json!({
                "name": fresh, "kinds": ["order_ready"], "priority": "low", "channels": [{"channel": "email"}],
                "active": false,
            }),
            "place_order" => json!({
                "quote_id": self.quote().await, "payment": {"method": "card", "token": "pm_card_visa"},
            }),
            "make_order_ready" => json!({"pickup_address": "1 Main Street"}),
            "retry_saga" | "abort_saga" | "close_saga" => saga,
            "skip_saga_step" => json!({"reason": "ticket 1", "step": "refund"}),
            "resolve_saga_step" => json!({
                "reason": "ticket 1", "step": "refund", "outcome": "ok", "evidence": "re_1",
            }),
            other => panic!("{other} takes a body: write a good one here"),
        })
    }

    /// An order to which the step can happen next, and who may take it.
    pub async fn order_before(&self, step: &str) -> (Person, String) {
        let card = match step {
            "cancel_order" => "pm_waybill_slow",
            _ => "pm_card_visa",
        };
        let order = self
            .customer
            .order(&self.partner, &self.product, 1, card)
            .await;
        if step == "cancel_order" {
            return (self.customer.clone(), order);
        }
        self.customer.order_becomes(&order, "confirmed").await;
        if step == "make_order_ready" {
            return (self.admin.clone(), order);
        }
        let ready = json!({"pickup_address": "1 Main Street"});
        let path = format!("/v1/orders/{order}/ready");
        let seller = self.person("partner", Some(&self.partner)).await;
        seller.post(&path, &ready).await.ok();
        let deliverer = self.person("deliverer", None).await;
        if step == "deliver_order" {
            let path = format!("/v1/orders/{order}/assign");
            deliverer.post(&path, &json!({})).await.ok();
        }
        (deliverer, order)
    }

    /// The member has the resource.
    pub async fn assign(&self) {
        let path = format!("/v1/customers/{}/resources", self.member);
        let body = json!({"resource_id": self.resource});
        self.admin.post(&path, &body).await.ok();
    }

    /// What the log ends with now.
    pub async fn log_end(&self) -> u64 {
        let answer = self.admin.get("/v1/events?limit=1").await;
        answer.position.unwrap()
    }
}
