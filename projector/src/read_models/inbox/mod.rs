//! The inbox: what people are told of what happened to their orders, their stock, their account, and what they have read
//! and cleared of it.
//!
//! A notification is one row, also when it is for several people; what one of them does with it is a row of its own, so
//! that the two can come in any order (a parked order's notification comes late) and a rebuild gives the same rows.

mod apply;
mod changed;
mod facts;
mod live;
#[cfg(test)]
mod live_tests;
mod marks;
mod message;
mod routes;
#[cfg(test)]
mod tests;
mod whose;

use async_trait::async_trait;
use uuid::Uuid;

use event_schema::Recorded;

use crate::migrations::Embedded;
use crate::projection::{ApplyError, Batch, Projection, Table};

pub(crate) use routes::routes;
pub(crate) use whose::{Reader, newest, place_of};

/// The projection's name.
pub const NAME: &str = "inbox";
pub(crate) const MIGRATIONS: &[Embedded] = &[
    Embedded {
        version: 40,
        name: "inbox",
        sql: include_str!("tables.sql"),
    },
    Embedded {
        version: 41,
        name: "inbox: names of resources",
        sql: include_str!("resources.sql"),
    },
    Embedded {
        version: 42,
        name: "inbox: what each person has read and cleared",
        sql: include_str!("marks.sql"),
    },
];
/// The only event of an inventory history that anybody is told of; the many others are passed by unread.
const RAN_LOW: &str = "inventory.ran_low";

/// One row a notification, one for each that somebody has read or cleared, and one for everybody who cleared all.
pub struct Inbox;

#[async_trait]
impl Projection for Inbox {
    fn name(&self) -> &'static str {
        NAME
    }

    fn tables(&self) -> &'static [Table] {
        &[
            Table {
                name: "notifications",
                key: "id",
            },
            Table {
                name: "inbox_orders",
                key: "order_id",
            },
            Table {
                name: "inbox_products",
                key: "product_id",
            },
            Table {
                name: "inbox_resources",
                key: "resource_id",
            },
            Table {
                name: "inbox_marks",
                key: "id",
            },
            Table {
                name: "inbox_floors",
                key: "person",
            },
            Table {
                name: "inbox_erased",
                key: "person",
            },
        ]
    }

    fn aggregates(&self) -> &'static [&'static str] {
        &[
            "customer",
            "resource",
            "assignment",
            "product",
            "inventory",
            "order",
            "payment",
            "fulfilment",
            "inbox",
        ]
    }

    fn key(&self, event: &Recorded) -> Option<Uuid> {
        let (aggregate, id) = event.subject.aggregate()?;
        let concerned = self.aggregates().contains(&aggregate)
            && (aggregate != "inventory" || event.event_type == RAN_LOW);
        concerned.then_some(id)
    }

    async fn apply(&self, batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
        apply::apply(batch, events).await
    }
}
