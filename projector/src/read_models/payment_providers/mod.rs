//! The register of payment providers, as admins see it.

mod apply;
mod routes;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

use event_schema::Recorded;

use crate::migrations::Embedded;
use crate::projection::{ApplyError, Batch, Projection, Table};

pub(crate) use routes::routes;

/// The projection's name.
pub const NAME: &str = "providers";
pub(crate) const MIGRATIONS: &[Embedded] = &[Embedded {
    version: 80,
    name: "payment providers",
    sql: include_str!("tables.sql"),
}];

/// One row a provider that somebody has set.
pub struct PaymentProviders;

#[async_trait]
impl Projection for PaymentProviders {
    fn name(&self) -> &'static str {
        NAME
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "payment_providers",
            key: "id",
        }]
    }

    fn aggregates(&self) -> &'static [&'static str] {
        &["payment_provider"]
    }

    async fn apply(&self, batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
        apply::apply(batch, events).await
    }
}
