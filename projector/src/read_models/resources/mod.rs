//! Cloud resources, and which customer has which.

mod assignment_routes;
mod assignments;
mod catalogue;
mod resource_routes;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

use event_schema::Recorded;
use service_kit::ApiRouter;

use crate::http::ReadSide;
use crate::migrations::Embedded;
use crate::projection::{ApplyError, Batch, Projection, Table};

/// The projection's name.
pub const NAME: &str = "resources";
pub(crate) const MIGRATIONS: &[Embedded] = &[Embedded {
    version: 70,
    name: "resources",
    sql: include_str!("tables.sql"),
}];

/// One row a resource, one row a pair of customer and resource.
pub struct Resources;

#[async_trait]
impl Projection for Resources {
    fn name(&self) -> &'static str {
        NAME
    }

    fn tables(&self) -> &'static [Table] {
        &[
            Table {
                name: "resources",
                key: "id",
            },
            Table {
                name: "assignments",
                key: "id",
            },
        ]
    }

    fn aggregates(&self) -> &'static [&'static str] {
        &["resource", "assignment"]
    }

    async fn apply(&self, batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
        let is_pair = |event: &&Recorded| {
            event
                .subject
                .aggregate()
                .is_some_and(|(name, _)| name == "assignment")
        };
        let (pairs, resources): (Vec<&Recorded>, Vec<&Recorded>) =
            events.iter().copied().partition(is_pair);
        // The two share no rows, so each may be written at once.
        catalogue::apply(batch, &resources).await?;
        assignments::apply(batch, &pairs).await
    }
}

pub(crate) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    assignment_routes::routes(resource_routes::routes(api))
}
