//! What is sold, by whom, for how much: products, partners, offers, and the public catalogue made of them.

mod catalog_route;
mod offers;
mod partner_routes;
mod partners;
mod product_routes;
mod products;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

use event_schema::Recorded;
use service_kit::ApiRouter;

use crate::http::ReadSide;
use crate::migrations::Embedded;
use crate::projection::{ApplyError, Batch, Projection, Table};

/// The projection's name.
pub const NAME: &str = "catalogue";
pub(crate) const MIGRATIONS: &[Embedded] = &[
    Embedded {
        version: 20,
        name: "catalogue",
        sql: include_str!("tables.sql"),
    },
    Embedded {
        version: 21,
        name: "catalogue: partners whose system is gone",
        sql: include_str!("webhook.sql"),
    },
];

/// One row a product, a partner, an offer.
pub struct Catalogue;

#[async_trait]
impl Projection for Catalogue {
    fn name(&self) -> &'static str {
        NAME
    }

    fn tables(&self) -> &'static [Table] {
        &[
            Table {
                name: "products",
                key: "id",
            },
            Table {
                name: "partners",
                key: "id",
            },
            Table {
                name: "offers",
                key: "id",
            },
        ]
    }

    fn aggregates(&self) -> &'static [&'static str] {
        &["product", "partner", "offer"]
    }

    async fn apply(&self, batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
        // The three kinds share no rows, so each may be written at once.
        products::apply(batch, &of(events, "product")).await?;
        partners::apply(batch, &of(events, "partner")).await?;
        offers::apply(batch, &of(events, "offer")).await
    }
}

fn of<'e>(events: &[&'e Recorded], aggregate: &str) -> Vec<&'e Recorded> {
    let wanted = |event: &&&Recorded| {
        event
            .subject
            .aggregate()
            .is_some_and(|(name, _)| name == aggregate)
    };
    events.iter().filter(wanted).copied().collect()
}

pub(crate) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    catalog_route::routes(partner_routes::routes(product_routes::routes(api)))
}
