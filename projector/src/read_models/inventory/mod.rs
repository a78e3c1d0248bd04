//! Stock as it is now: received, available, held, sold, and whether it is low.

mod apply;
mod live;
#[cfg(test)]
mod live_tests;
mod routes;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

use event_schema::Recorded;

use crate::migrations::Embedded;
use crate::projection::{ApplyError, Batch, Projection, Table};

pub(crate) use routes::routes;

/// The projection's name.
pub const NAME: &str = "inventory";
pub(crate) const MIGRATIONS: &[Embedded] = &[
    Embedded {
        version: 10,
        name: "inventory",
        sql: include_str!("tables.sql"),
    },
    Embedded {
        version: 11,
        name: "inventory: positions of changes",
        sql: include_str!("positions.sql"),
    },
];

/// One row a product.
pub struct Inventory;

#[async_trait]
impl Projection for Inventory {
    fn name(&self) -> &'static str {
        NAME
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "inventory",
            key: "product_id",
        }]
    }

    fn aggregates(&self) -> &'static [&'static str] {
        &["inventory"]
    }

    async fn apply(&self, batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
        apply::apply(batch, events).await
    }
}
