//! The read model: how much is left on each card. The worker sees to it that every event is shown once and in order, and
//! that rows and checkpoint are committed together.

use async_trait::async_trait;
use event_schema::{EventSet, Recorded};
use projector::projection::{ApplyError, Batch, Projection, Table};

use crate::event::{Event, Issued, Redeemed};

/// Its tables. Inside the projector they are a migration of their own.
pub const TABLES: &str = include_str!("left.sql");

/// One row a card.
pub struct Left;

#[async_trait]
impl Projection for Left {
    fn name(&self) -> &'static str {
        "gift_cards"
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "gift_cards",
            key: "id",
        }]
    }

    fn aggregates(&self) -> &'static [&'static str] {
        &[Event::AGGREGATE]
    }

    async fn apply(&self, batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
        for event in events {
            let Some(card) = event.aggregate_id() else {
                continue;
            };
            let happened = Event::decode(&event.event_type, event.schema_version, &event.payload)
                .map_err(|error| ApplyError::event(event, error))?;
            let (statement, cents) = match happened {
                Event::Issued(Issued { cents }) => (
                    batch.sql("insert into read.gift_cards (id, left_cents) values ($1, $2)"),
                    cents,
                ),
                Event::Redeemed(Redeemed { cents }) => (
                    batch.sql(
                        "update read.gift_cards set left_cents = left_cents - $2 where id = $1",
                    ),
                    cents,
                ),
            };
            sqlx::query(statement)
                .bind(card)
                .bind(i64::from(cents))
                .execute(batch.connection())
                .await?;
        }
        Ok(())
    }
}
