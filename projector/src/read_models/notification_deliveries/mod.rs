//! The messages that leave the house, one row each, with every attempt to send it. Nothing in here names a person: the
//! recipient is an id, and what a provider was told is not in the log.

mod apply;
mod routes;
mod row;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

use event_schema::Recorded;

use crate::migrations::Embedded;
use crate::projection::{ApplyError, Batch, Projection, Table};

pub(crate) use routes::{history_of, routes};

/// The projection's name.
pub const NAME: &str = "notification_deliveries";
pub(crate) const MIGRATIONS: &[Embedded] = &[Embedded {
    version: 110,
    name: "notification deliveries",
    sql: include_str!("tables.sql"),
}];

/// One row a message.
pub struct NotificationDeliveries;

#[async_trait]
impl Projection for NotificationDeliveries {
    fn name(&self) -> &'static str {
        NAME
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "notification_deliveries",
            key: "id",
        }]
    }

    fn aggregates(&self) -> &'static [&'static str] {
        &["notification"]
    }

    async fn apply(&self, batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
        apply::apply(batch, events).await
    }
}
