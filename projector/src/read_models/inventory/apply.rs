//! Stock events as sums: a batch becomes one change per product, whatever the number of its events.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use uuid::Uuid;

use event_schema::inventory::Event;
use event_schema::{Recorded, Timestamp};

use crate::projection::{ApplyError, Batch, decode, following};
use crate::read_models::{column, times};

/// What a batch changes of one product.
struct Change {
    product_id: Uuid,
    received: i64,
    held: i64,
    sold: i64,
    threshold: Option<i64>,
    /// The version that the row must have for this change.
    after: i64,
    version: i64,
    /// Of the last event.
    position: i64,
    updated_at: Timestamp,
}

pub(super) async fn apply(batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
    let mut changes: BTreeMap<Uuid, Change> = BTreeMap::new();
    for recorded in events {
        let Some(product_id) = recorded.aggregate_id() else {
            continue;
        };
        let at = recorded.metadata.occurred_at;
        let change = match changes.entry(product_id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Change::after(product_id, recorded)?),
        };
        change.add(&decode(recorded)?);
        change.version = following(recorded, change.version)?;
        change.position = i64::try_from(recorded.position.0)
            .map_err(|error| ApplyError::event(recorded, error))?;
        change.updated_at = at;
    }
    let rows: Vec<Change> = changes.into_values().collect();
    let written = sqlx::query(batch.sql(
        "insert into read.inventory as i
             (product_id, received, held, sold, low_stock_threshold, version, updated_at, position)
         select product_id, received, held, sold, coalesce(threshold, 0), version, updated_at, position
         from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                     $7::timestamptz[], $8::bigint[], $9::bigint[])
             as c (product_id, received, held, sold, threshold, version, updated_at, after, position)
         where c.after = coalesce((select version from read.inventory known where known.product_id = c.product_id), 0)
         on conflict (product_id) do update
         set received = i.received + excluded.received,
             held = i.held + excluded.held,
             sold = i.sold + excluded.sold,
             version = excluded.version,
             position = excluded.position,
             updated_at = excluded.updated_at",
    ))
    .bind(column!(rows, product_id))
    .bind(column!(rows, received))
    .bind(column!(rows, held))
    .bind(column!(rows, sold))
    .bind(column!(rows, threshold))
    .bind(column!(rows, version))
    .bind(times!(rows, updated_at))
    .bind(column!(rows, after))
    .bind(column!(rows, position))
    .execute(batch.connection())
    .await?;
    if written.rows_affected() != rows.len() as u64 {
        return Err(jump(events));
    }
    set_thresholds(batch, &rows).await
}

/// Some row is not at the version that the batch begins after. Which one comes out when the events are tried one by
/// one.
fn jump(events: &[&Recorded]) -> ApplyError {
    match events.first() {
        Some(event) => ApplyError::event(
            event,
            "its row is not at the version before it: an event of this history never came; rebuild the projection",
        ),
        None => ApplyError::Database(sqlx::Error::RowNotFound),
    }
}

async fn set_thresholds(batch: &mut Batch<'_>, rows: &[Change]) -> Result<(), ApplyError> {
    let set: Vec<(Uuid, i64)> = rows
        .iter()
        .filter_map(|row| Some((row.product_id, row.threshold?)))
        .collect();
    if set.is_empty() {
        return Ok(());
    }
    let (products, thresholds): (Vec<Uuid>, Vec<i64>) = set.into_iter().unzip();
    sqlx::query(batch.sql(
        "update read.inventory i set low_stock_threshold = t.threshold
         from unnest($1::uuid[], $2::bigint[]) as t (product_id, threshold)
         where i.product_id = t.product_id",
    ))
    .bind(products)
    .bind(thresholds)
    .execute(batch.connection())
    .await?;
    Ok(())
}

impl Change {
    /// Nothing yet, on top of what was before this event.
    fn after(product_id: Uuid, first: &Recorded) -> Result<Self, ApplyError> {
        let version =
            i64::try_from(first.version.0).map_err(|error| ApplyError::event(first, error))?;
        let after = version.saturating_sub(1);
        let updated_at = first.metadata.occurred_at;
        Ok(Self {
            product_id,
            received: 0,
            held: 0,
            sold: 0,
            threshold: None,
            after,
            version: after,
            position: 0,
            updated_at,
        })
    }

    fn add(&mut self, event: &Event) {
        // A batch has a few hundred events of at most 32 bits each (an adjustment, 64): sums that do not fit are
        // refused by the column they would not fit either.
        match event {
            Event::Received(e) => {
                self.received = self.received.saturating_add(i64::from(e.quantity))
            }
            Event::Adjusted(e) => self.received = self.received.saturating_add(e.quantity),
            Event::ThresholdSet(e) => self.threshold = Some(i64::from(e.low_stock_threshold)),
            Event::Held(e) => self.held = self.held.saturating_add(i64::from(e.quantity)),
            Event::Released(e) => self.held = self.held.saturating_sub(i64::from(e.quantity)),
            Event::Committed(e) => {
                self.held = self.held.saturating_sub(i64::from(e.quantity));
                self.sold = self.sold.saturating_add(i64::from(e.quantity));
            }
            // A fact about the counts, not a change of them.
            Event::RanLow(_) => {}
        }
    }
}
