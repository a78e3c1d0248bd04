//! Sales: what was sold on which day, for how much, and what it had cost.
//!
//! A sale counts when its order is confirmed: the money is taken and the units are sold. The day is the UTC day of that
//! moment, and stays. What is given back afterwards is taken from the sale of that day, from each line in proportion; a
//! sale of which everything was given back, or whose order is called off after all, does not count any more. Prices and
//! costs are those of the moment of placing.

mod apply;
mod report;
mod row;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use uuid::Uuid;

use event_schema::Recorded;

use crate::migrations::Embedded;
use crate::projection::{ApplyError, Batch, Projection, Table};

pub(crate) use report::routes;

/// The projection's name.
pub const NAME: &str = "sales";
pub(crate) const MIGRATIONS: &[Embedded] = &[Embedded {
    version: 90,
    name: "sales",
    sql: include_str!("tables.sql"),
}];
/// The only events of a payment that change a sale; the many others are passed by unread.
const OF_PAYMENTS: [&str; 2] = ["payment.refunded", "payment.settled_outside"];

/// One row an order, and one a line of it.
pub struct Sales;

#[async_trait]
impl Projection for Sales {
    fn name(&self) -> &'static str {
        NAME
    }

    fn tables(&self) -> &'static [Table] {
        &[
            Table {
                name: "sales",
                key: "order_id",
            },
            Table {
                name: "sale_lines",
                key: "id",
            },
        ]
    }

    fn aggregates(&self) -> &'static [&'static str] {
        &["order", "payment"]
    }

    fn key(&self, event: &Recorded) -> Option<Uuid> {
        match event.subject.aggregate()? {
            ("order", id) => Some(id),
            ("payment", id) => OF_PAYMENTS
                .contains(&event.event_type.as_str())
                .then_some(id),
            _ => None,
        }
    }

    async fn apply(&self, batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
        apply::apply(batch, events).await
    }
}
