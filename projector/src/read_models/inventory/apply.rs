//! Stock events as sums: a batch becomes one change per product, whatever the number of its events.

use std::collections::BTreeMap;

use uuid::Uuid;

use event_schema::inventory::Event;
use event_schema::{Recorded, Timestamp};

use crate::projection::{ApplyError, Batch, decode};
use crate::read_models::{column, times};

/// What a batch changes of one product.
struct Change {
    product_id: Uuid,
    received: i64,
    held: i64,
    sold: i64,
    threshold: Option<i64>,
    version: i64,
    updated_at: Timestamp,
}

pub(super) async fn apply(batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
    let mut changes: BTreeMap<Uuid, Change> = BTreeMap::new();
    for recorded in events {
        let Some(product_id) = recorded.aggregate_id() else { continue };
        let change = changes.entry(product_id).or_insert(Change {
            product_id,
            received: 0,
            held: 0,
            sold: 0,
            threshold: None,
            version: 0,
            updated_at: recorded.metadata.occurred_at,
        });
        change.add(&decode(recorded)?);
        change.version = i64::try_from(recorded.version.0).map_err(|error| ApplyError::event(recorded, error))?;
        change.updated_at = recorded.metadata.occurred_at;
    }
    let rows: Vec<Change> = changes.into_values().collect();
    sqlx::query(batch.sql(
        "insert into read.inventory as i
             (product_id, received, held, sold, low_stock_threshold, version, updated_at)
         select product_id, received, held, sold, coalesce(threshold, 0), version, updated_at
         from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                     $7::timestamptz[])
             as c (product_id, received, held, sold, threshold, version, updated_at)
         on conflict (product_id) do update
         set received = i.received + excluded.received,
             held = i.held + excluded.held,
             sold = i.sold + excluded.sold,
             version = excluded.version,
             updated_at = excluded.updated_at",
    ))
    .bind(column!(rows, product_id))
    .bind(column!(rows, received))
    .bind(column!(rows, held))
    .bind(column!(rows, sold))
    .bind(column!(rows, threshold))
    .bind(column!(rows, version))
    .bind(times!(rows, updated_at))
    .execute(batch.connection())
    .await?;
    set_thresholds(batch, &rows).await
}

async fn set_thresholds(batch: &mut Batch<'_>, rows: &[Change]) -> Result<(), ApplyError> {
    let set: Vec<(Uuid, i64)> = rows.iter().filter_map(|row| Some((row.product_id, row.threshold?))).collect();
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
    fn add(&mut self, event: &Event) {
        // A batch has a few hundred events of at most 32 bits each (an adjustment, 64): sums that do not fit are
        // refused by the column they would not fit either.
        match event {
            Event::Received(e) => self.received = self.received.saturating_add(i64::from(e.quantity)),
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
