//! The people of the shop, as admins and they themselves see them.

mod apply;
pub(crate) mod avatar_route;
mod preferences;
mod routes;
mod row;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

use event_schema::Recorded;

use crate::migrations::Embedded;
use crate::projection::{ApplyError, Batch, Projection, Table};

pub(crate) use routes::routes;

/// The projection's name.
pub const NAME: &str = "customers";
pub(crate) const MIGRATIONS: &[Embedded] = &[
    Embedded {
        version: 30,
        name: "customers",
        sql: include_str!("tables.sql"),
    },
    Embedded {
        version: 31,
        name: "customers: account",
        sql: include_str!("account.sql"),
    },
    Embedded {
        version: 32,
        name: "customers: how people want to be told things",
        sql: include_str!("preferences.sql"),
    },
];

/// One row a customer.
pub struct Customers;

#[async_trait]
impl Projection for Customers {
    fn name(&self) -> &'static str {
        NAME
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "customers",
            key: "id",
        }]
    }

    fn aggregates(&self) -> &'static [&'static str] {
        &["customer"]
    }

    async fn apply(&self, batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
        apply::apply(batch, events).await
    }
}
