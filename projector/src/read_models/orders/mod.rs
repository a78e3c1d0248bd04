//! Orders as one answer: lines, payment, delivery, and the saga that sees to it. One row an order, folded from the
//! events of its order, payment and fulfilment histories, which all have the order's id.

mod apply;
mod delivery_routes;
#[cfg(test)]
mod delivery_tests;
mod erased;
#[cfg(test)]
mod erased_tests;
pub(crate) mod history;
mod order_routes;
mod payment;
mod payment_route;
mod row;
mod saga;
mod saga_routes;
mod show;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use uuid::Uuid;

use event_schema::Recorded;
use service_kit::ApiRouter;

use crate::http::ReadSide;
use crate::migrations::Embedded;
use crate::projection::{ApplyError, Batch, Projection, Table};

/// The projection's name.
pub const NAME: &str = "orders";
pub(crate) const MIGRATIONS: &[Embedded] = &[
    Embedded {
        version: 50,
        name: "orders",
        sql: include_str!("tables.sql"),
    },
    Embedded {
        version: 51,
        name: "orders: delivery",
        sql: include_str!("delivery.sql"),
    },
    Embedded {
        version: 52,
        name: "orders: deliveries of one deliverer",
        sql: include_str!("deliveries.sql"),
    },
    Embedded {
        version: 53,
        name: "orders: erased persons",
        sql: include_str!("erased.sql"),
    },
];

/// The only event of a customer that changes his orders' rows: what tells where they go is taken out of them.
const CUSTOMER_ERASED: &str = "customer.erased";

/// One row an order.
pub struct Orders;

#[async_trait]
impl Projection for Orders {
    fn name(&self) -> &'static str {
        NAME
    }

    fn tables(&self) -> &'static [Table] {
        &[
            Table {
                name: "orders",
                key: "id",
            },
            Table {
                name: "orders_erased_persons",
                key: "person",
            },
        ]
    }

    fn aggregates(&self) -> &'static [&'static str] {
        &["order", "payment", "fulfilment", "customer"]
    }

    fn key(&self, event: &Recorded) -> Option<Uuid> {
        let (aggregate, id) = event.subject.aggregate()?;
        let concerned = self.aggregates().contains(&aggregate)
            && (aggregate != "customer" || event.event_type == CUSTOMER_ERASED);
        concerned.then_some(id)
    }

    async fn apply(&self, batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
        apply::apply(batch, events).await
    }
}

pub(crate) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    let api = order_routes::routes(api);
    let api = history::routes(api);
    let api = delivery_routes::routes(api);
    let api = payment_route::routes(api);
    saga_routes::routes(api)
}
