//! A large shop. What number 17 of anything is depends on 17 alone, so a larger seed adds to a smaller one.

use std::future::Future;

use axum::http::Method;
use domain::order::Order as Ordered;
use event_store::{Executor, Freshness};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use service_kit::crypto::command_id;
use uuid::Uuid;

use super::sender::{Order, Sender};
use crate::up::demo::admin_id;
use crate::{out, progress_bar};

/// Changed when what a number stands for changes.
const SEED_VERSION: &str = "scale-1";
/// Commands on their way at one moment; half of what the log lets one caller queue up.
const IN_FLIGHT_MAX: usize = 32;
const PRODUCTS_PER_PARTNER: u32 = 50;
const CUSTOMERS_PER_RESOURCE: u32 = 10;
/// Of so many orders one has a card that is declined.
const ORDERS_PER_DECLINED: u32 = 20;

const FIRST_NAMES: [&str; 8] = [
    "Ada",
    "Grace",
    "Edsger",
    "Barbara",
    "Alan",
    "Katherine",
    "Donald",
    "Radia",
];
const LAST_NAMES: [&str; 7] = [
    "Berg", "Castro", "Dupont", "Eriksen", "Fischer", "Greco", "Horvat",
];
const THINGS: [(&str, &str); 9] = [
    ("Lamp", "lights"),
    ("Reflector", "lights"),
    ("Helmet", "safety"),
    ("Lock", "safety"),
    ("Bell", "bells"),
    ("Saddle", "comfort"),
    ("Grip", "comfort"),
    ("Pannier", "luggage"),
    ("Basket", "luggage"),
];
const COLORS: [&str; 5] = ["black", "blue", "red", "green", "white"];
const SIZES: [&str; 3] = ["S", "M", "L"];
const RESOURCES: [(&str, &str); 5] = [
    ("Machine", "vm"),
    ("Volume", "storage"),
    ("Database", "database"),
    ("Function", "function"),
    ("Topic", "event"),
];
const REGIONS: [&str; 4] = ["eu-central-1", "eu-west-1", "us-west-1", "us-central-1"];

/// What a large seed works with.
pub(super) struct Scale<'a> {
    pub(super) sender: &'a Sender,
    pub(super) executor: &'a Executor,
    pub(super) admin_token: &'a str,
    pub(super) customer_token: &'a (dyn Fn(Uuid) -> anyhow::Result<String> + Send + Sync),
    /// Whether orders cost nobody anything.
    pub(super) is_play_money: bool,
}

impl Scale<'_> {
    /// So many customers, products and orders, and the partners, stock and cloud resources that belong to them.
    pub(super) async fn seed(&self, count: u32) -> anyhow::Result<()> {
        let partners = count.div_ceil(PRODUCTS_PER_PARTNER);
        let resources = count.div_ceil(CUSTOMERS_PER_RESOURCE);
        all("partners", partners, |n| self.partner(n)).await?;
        all("products", count, |n| self.product(n)).await?;
        all("customers", count, |n| self.customer(n)).await?;
        all("resources", resources, |n| self.resource(n)).await?;
        all("assignments", count, |n| self.assignment(n)).await?;
        if self.is_play_money {
            all("orders", count, |n| self.order(n)).await?;
        } else {
            out::note("orders: none, because the shop's payment provider takes real money");
        }
        Ok(())
    }

    async fn partner(&self, n: u32) -> anyhow::Result<()> {
        let id = created("partners.add", "partner", n);
        let brand = brand(n);
        let body = json!({
            "title": format!("{brand} Ltd"), "brand": brand, "phone": format!("+49 30 {:07}", 1_000_000 + n),
            "email": format!("orders@partner-{n}.example"), "address": format!("{} Market Street", n + 1),
        });
        self.admin(Method::POST, "/v1/partners".into(), ("partner", n), body)
            .await?;
        for verb in ["verify", "enable"] {
            let path = format!("/v1/partners/{id}/{verb}");
            self.admin(Method::POST, path, (verb, n), json!({})).await?;
        }
        Ok(())
    }

    async fn product(&self, n: u32) -> anyhow::Result<()> {
        let id = created("products.add", "product", n);
        let partner = created("partners.add", "partner", partner_of(n));
        let (thing, category) = one_of(&THINGS, n);
        let color = one_of(&COLORS, n / 3);
        let cost = 200 + i64::from(n % 97) * 25;
        let eur = |amount: i64| json!({"amount": amount, "currency": "EUR"});
        let body = json!({
            "sku": format!("SEED-{n:06}"), "name": format!("{thing} {n}, {color}"), "brand": brand(partner_of(n)),
            "category": category, "size": one_of(&SIZES, n), "color": color,
            "description": format!("{thing} number {n}, in {color}."), "unit_cost": eur(cost), "partner_id": partner,
        });
        self.admin(Method::POST, "/v1/products".into(), ("product", n), body)
            .await?;
        let offer = json!({"price": eur(cost * 2 - 1), "active": true});
        let path = format!("/v1/partners/{partner}/offers/{id}");
        self.admin(Method::PUT, path, ("offer", n), offer).await?;
        let stock = json!({"quantity": 50 + n % 400, "reason": "seed"});
        let path = format!("/v1/inventory/{id}/receive");
        self.admin(Method::POST, path, ("stock", n), stock).await?;
        Ok(())
    }

    async fn customer(&self, n: u32) -> anyhow::Result<()> {
        let (first, last) = (one_of(&FIRST_NAMES, n), one_of(&LAST_NAMES, n));
        let email = format!("{}.{n}@seed.example", first.to_lowercase());
        let body = json!({"name": format!("{first} {last}"), "email": email});
        self.admin(Method::POST, "/v1/customers".into(), ("customer", n), body)
            .await?;
        Ok(())
    }

    async fn resource(&self, n: u32) -> anyhow::Result<()> {
        let (name, kind) = one_of(&RESOURCES, n);
        let body =
            json!({"name": format!("{name} {n}"), "type": kind, "region": one_of(&REGIONS, n)});
        self.admin(Method::POST, "/v1/resources".into(), ("resource", n), body)
            .await?;
        Ok(())
    }

    async fn assignment(&self, n: u32) -> anyhow::Result<()> {
        let customer = created("customers.add", "customer", n);
        let resource = created("resources.add", "resource", n / CUSTOMERS_PER_RESOURCE);
        let path = format!("/v1/customers/{customer}/resources");
        let body = json!({"resource_id": resource});
        self.admin(Method::POST, path, ("assignment", n), body)
            .await?;
        Ok(())
    }

    async fn order(&self, n: u32) -> anyhow::Result<()> {
        let customer = created("customers.add", "customer", n);
        // A quote is new each time it is asked for, so an order that is there is not asked for again.
        let id = command_id(customer, "orders.place", &key("order", n));
        let known = self.executor.load::<Ordered>(id, Freshness::Leader).await?;
        if known.version.0 > 0 {
            return Ok(());
        }
        let token = (self.customer_token)(customer)?;
        let product = |n| created("products.add", "product", n);
        // A product of the same partner, and not a later one, which a smaller seed would not have.
        let place = n % PRODUCTS_PER_PARTNER;
        let other = n - place + n.wrapping_mul(7) % (place + 1);
        let check = Order {
            method: Method::POST,
            path: "/v1/orders/check".into(),
            token: &token,
            key: key("check", n),
            body: json!({
                "partner_id": created("partners.add", "partner", partner_of(n)),
                "lines": [
                    {"product_id": product(n), "quantity": 1 + n % 3},
                    {"product_id": product(other), "quantity": 1},
                ],
                "delivery_address": format!("{} Elm Street, Springfield", n + 1),
                "phone": format!("+49 30 {:07}", 2_000_000 + n),
            }),
        };
        let (status, quote) = self.sender.ask(&check).await?;
        if !status.is_success() {
            // Somebody has changed what the order was to be about; that is his shop to run.
            tracing::info!(order = n, code = %quote["code"], "a seeded order is left out");
            return Ok(());
        }
        let card = if n % ORDERS_PER_DECLINED == ORDERS_PER_DECLINED - 1 {
            "pm_card_visa_chargeDeclined"
        } else {
            "pm_card_visa"
        };
        let place = Order {
            path: "/v1/orders".into(),
            key: key("order", n),
            body: json!({"quote_id": quote["quote_id"], "payment": {"method": "card", "token": card}}),
            ..check
        };
        self.sender.send(&place).await?;
        Ok(())
    }

    async fn admin(
        &self,
        method: Method,
        path: String,
        (thing, n): (&str, u32),
        body: Value,
    ) -> anyhow::Result<Value> {
        let order = Order {
            method,
            path,
            token: self.admin_token,
            key: key(thing, n),
            body,
        };
        self.sender.send(&order).await
    }
}

/// Makes so many of one thing, a few at once, and shows how far it is.
async fn all<M: Future<Output = anyhow::Result<()>>>(
    name: &str,
    count: u32,
    make: impl Fn(u32) -> M,
) -> anyhow::Result<()> {
    let bar = progress_bar::new(name);
    bar.set_length(count.into());
    let made = stream::iter((0..count).map(make))
        .buffer_unordered(IN_FLIGHT_MAX)
        .try_for_each(|()| {
            bar.inc(1);
            std::future::ready(Ok(()))
        })
        .await;
    bar.finish_and_clear();
    made?;
    out::note(format!("{name}: {count}"));
    Ok(())
}

fn key(thing: &str, n: u32) -> String {
    format!("{SEED_VERSION}-{thing}-{n}")
}

/// The id of what a command of the seed creates.
fn created(verb: &str, thing: &str, n: u32) -> Uuid {
    command_id(admin_id(), verb, &key(thing, n))
}

fn partner_of(product: u32) -> u32 {
    product / PRODUCTS_PER_PARTNER
}

fn brand(partner: u32) -> String {
    format!("{} & {partner}", one_of(&LAST_NAMES, partner))
}

fn one_of<T: Copy + Default>(choice: &[T], n: u32) -> T {
    let count = choice.len().max(1);
    let at = usize::try_from(n).unwrap_or_default() % count;
    choice.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_number_stands_for_does_not_depend_on_how_many_there_are() {
        assert_eq!(key("customer", 17), "scale-1-customer-17");
        assert_eq!(partner_of(49), 0);
        assert_eq!(partner_of(50), 1);
        assert_eq!(
            created("products.add", "product", 3),
            created("products.add", "product", 3)
        );
        assert_ne!(
            created("products.add", "product", 3),
            created("products.add", "product", 4)
        );
    }
}
