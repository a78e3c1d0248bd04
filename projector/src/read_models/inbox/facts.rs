//! What a notification needs and its event does not say: an order's customer and total, a product's name and owner.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use event_schema::{Money, order, product, resource};

use crate::projection::{ApplyError, Batch};
use crate::read_models::column;

#[derive(Clone, sqlx::FromRow)]
pub(super) struct OrderFacts {
    pub order_id: Uuid,
    pub customer_id: Uuid,
    pub total: i64,
    pub currency: String,
}

#[derive(Clone, sqlx::FromRow)]
pub(super) struct ProductFacts {
    pub product_id: Uuid,
    pub partner_id: Option<Uuid>,
    pub name: String,
}

#[derive(Clone, sqlx::FromRow)]
pub(super) struct ResourceFacts {
    pub resource_id: Uuid,
    pub name: String,
}

/// The facts about everything in a batch.
#[derive(Default)]
pub(super) struct Facts {
    pub orders: BTreeMap<Uuid, OrderFacts>,
    pub products: BTreeMap<Uuid, ProductFacts>,
    pub resources: BTreeMap<Uuid, ResourceFacts>,
    new_orders: Vec<Uuid>,
    new_products: Vec<Uuid>,
    new_resources: BTreeSet<Uuid>,
}

impl Facts {
    /// What is known of the aggregates with these ids.
    pub async fn load(batch: &mut Batch<'_>, ids: &[Uuid]) -> Result<Self, ApplyError> {
        let orders: Vec<OrderFacts> =
            sqlx::query_as(batch.sql("select * from read.inbox_orders where order_id = any($1)"))
                .bind(ids)
                .fetch_all(batch.connection())
                .await?;
        let products: Vec<ProductFacts> = sqlx::query_as(
            batch.sql("select * from read.inbox_products where product_id = any($1)"),
        )
        .bind(ids)
        .fetch_all(batch.connection())
        .await?;
        let resources: Vec<ResourceFacts> = sqlx::query_as(
            batch.sql("select * from read.inbox_resources where resource_id = any($1)"),
        )
        .bind(ids)
        .fetch_all(batch.connection())
        .await?;
        Ok(Self {
            resources: resources
                .into_iter()
                .map(|facts| (facts.resource_id, facts))
                .collect(),
            orders: orders
                .into_iter()
                .map(|facts| (facts.order_id, facts))
                .collect(),
            products: products
                .into_iter()
                .map(|facts| (facts.product_id, facts))
                .collect(),
            ..Self::default()
        })
    }

    pub fn placed(&mut self, order_id: Uuid, placed: &order::Placed) {
        let Money { amount, currency } = placed.total;
        let facts = OrderFacts {
            order_id,
            customer_id: placed.customer_id.uuid(),
            total: amount,
            currency: currency.code().to_owned(),
        };
        self.orders.insert(order_id, facts);
        self.new_orders.push(order_id);
    }

    pub fn resource_described(&mut self, resource_id: Uuid, event: resource::Event) {
        let name = match event {
            resource::Event::Added(added) => added.details.name,
            resource::Event::Changed(changed) => changed.details.name,
            // Whoever has it still hears of it by its name.
            resource::Event::Removed(_) => return,
        };
        let facts = ResourceFacts { resource_id, name };
        self.resources.insert(resource_id, facts);
        self.new_resources.insert(resource_id);
    }

    pub fn described(&mut self, product_id: Uuid, event: product::Event) {
        match event {
            product::Event::Added(added) => {
                let facts = ProductFacts {
                    product_id,
                    partner_id: added.partner_id.map(Uuid::from),
                    name: added.details.name,
                };
                self.products.insert(product_id, facts);
            }
            product::Event::Changed(changed) => {
                if let Some(facts) = self.products.get_mut(&product_id) {
                    facts.name = changed.details.name;
                }
            }
            product::Event::Removed(_) => {}
        }
        self.new_products.push(product_id);
    }

    /// Keeps what this batch has added.
    pub async fn save(&self, batch: &mut Batch<'_>) -> Result<(), ApplyError> {
        let orders: Vec<&OrderFacts> = self
            .new_orders
            .iter()
            .filter_map(|id| self.orders.get(id))
            .collect();
        if !orders.is_empty() {
            sqlx::query(batch.sql(
                "insert into read.inbox_orders (order_id, customer_id, total, currency)
                 select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[])",
            ))
            .bind(column!(orders, order_id))
            .bind(column!(orders, customer_id))
            .bind(column!(orders, total))
            .bind(column!(orders, currency))
            .execute(batch.connection())
            .await?;
        }
        let resources: Vec<&ResourceFacts> = self
            .new_resources
            .iter()
            .filter_map(|id| self.resources.get(id))
            .collect();
        if !resources.is_empty() {
            sqlx::query(batch.sql(
                "insert into read.inbox_resources (resource_id, name)
                 select * from unnest($1::uuid[], $2::text[])
                 on conflict (resource_id) do update set name = excluded.name",
            ))
            .bind(column!(resources, resource_id))
            .bind(column!(resources, name))
            .execute(batch.connection())
            .await?;
        }
        let mut new_products = self.new_products.clone();
        new_products.sort_unstable();
        new_products.dedup();
        let products: Vec<&ProductFacts> = new_products
            .iter()
            .filter_map(|id| self.products.get(id))
            .collect();
        if !products.is_empty() {
            sqlx::query(batch.sql(
                "insert into read.inbox_products (product_id, partner_id, name)
                 select * from unnest($1::uuid[], $2::uuid[], $3::text[])
                 on conflict (product_id) do update set name = excluded.name",
            ))
            .bind(column!(products, product_id))
            .bind(column!(products, partner_id))
            .bind(column!(products, name))
            .execute(batch.connection())
            .await?;
        }
        Ok(())
    }
}
