//! A batch of messages' events into rows: read those concerned, fold, write them back at once.

use std::collections::BTreeMap;

use uuid::Uuid;

use event_schema::Recorded;
use event_schema::notification::Event;

use super::row::{self, Row};
use crate::projection::{ApplyError, Batch, decode};

pub(super) async fn apply(batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
    let mut decoded = Vec::with_capacity(events.len());
    for recorded in events {
        decoded.push((*recorded, decode::<Event>(recorded)?));
    }
    let concerned: Vec<Uuid> = decoded.iter().map(|(_, event)| delivery(event)).collect();
    let mut rows: BTreeMap<Uuid, Row> = row::load(batch, &concerned)
        .await?
        .into_iter()
        .map(|row| (row.id, row))
        .collect();
    for (recorded, event) in &decoded {
        let Some(history) = recorded.aggregate_id() else {
            continue;
        };
        let id = delivery(event);
        if let Event::Intended(intended) = event {
            rows.insert(id, Row::new(recorded, history, intended)?);
            continue;
        }
        rows.get_mut(&id)
            .ok_or_else(|| ApplyError::event(recorded, "the message was never intended"))?
            .fold(recorded, event);
    }
    row::write(batch, &rows.into_values().collect::<Vec<_>>()).await
}

/// The message that an event is about.
fn delivery(event: &Event) -> Uuid {
    match event {
        Event::Intended(e) => e.delivery_id,
        Event::Attempted(e) => e.delivery_id,
        Event::AttemptEnded(e) => e.delivery_id,
        Event::Settled(e) => e.delivery_id,
    }
    .uuid()
}
