//! The agents by whose settings messages go out, as admins see them.

mod apply;
mod routes;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

use event_schema::Recorded;

use crate::migrations::Embedded;
use crate::projection::{ApplyError, Batch, Projection, Table};

pub(crate) use routes::{QuietHours, routes};

/// The projection's name.
pub const NAME: &str = "notification_agents";
pub(crate) const MIGRATIONS: &[Embedded] = &[Embedded {
    version: 100,
    name: "notification agents",
    sql: include_str!("tables.sql"),
}];

/// One row an agent that somebody has set.
pub struct NotificationAgents;

#[async_trait]
impl Projection for NotificationAgents {
    fn name(&self) -> &'static str {
        NAME
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "notification_agents",
            key: "id",
        }]
    }

    fn aggregates(&self) -> &'static [&'static str] {
        &["notification_agent"]
    }

    async fn apply(&self, batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
        apply::apply(batch, events).await
    }
}
