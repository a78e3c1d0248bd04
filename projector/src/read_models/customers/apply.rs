//! A batch of customers' events into rows: read those concerned, fold, write them back at once.

use std::collections::BTreeMap;

use uuid::Uuid;

use event_schema::Recorded;
use event_schema::customer::Event;

use super::row::{self, Row};
use crate::projection::{ApplyError, Batch, decode, following, ids};

pub(super) async fn apply(batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
    let mut decoded = Vec::with_capacity(events.len());
    for recorded in events {
        decoded.push((*recorded, decode::<Event>(recorded)?));
    }
    let persons = decoded.iter().filter_map(|(_, event)| row::person(event));
    let keys = batch.personal_keys(persons).await?;
    let mut rows: BTreeMap<Uuid, Row> = row::load(batch, &ids(events))
        .await?
        .into_iter()
        .map(|row| (row.id, row))
        .collect();
    for (recorded, event) in &decoded {
        let Some(id) = recorded.aggregate_id() else {
            continue;
        };
        let row = rows
            .entry(id)
            .or_insert_with(|| Row::new(id, recorded.metadata.occurred_at));
        row.version = following(recorded, row.version)?;
        row.fold(event, recorded, &keys)?;
    }
    row::write(batch, &rows.into_values().collect::<Vec<_>>()).await
}
