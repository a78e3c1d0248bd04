//! `waybill events`: the log for people. Payloads are shown as JSON; sealed fields stay sealed.

mod export;
mod file;
mod house;
mod import;
mod pattern;
mod show;
mod tail;

use event_schema::{Recorded, codec};
use serde_json::{Value, json};

pub use export::export;
pub use import::import;
pub use show::show;
pub use tail::{Tail, tail};

/// One event as one JSON object.
fn as_json(event: &Recorded) -> Value {
    let saga = event.saga.as_ref().map(|saga| {
        json!({
            "def": saga.def, "step": saga.step, "outcome": saga.outcome, "attempt": saga.attempt,
            "effect_id": saga.effect_id, "deadline": saga.deadline,
        })
    });
    json!({
        "position": event.position, "subject": event.subject, "version": event.version,
        "type": event.event_type, "schema_version": event.schema_version, "id": event.event_id,
        "occurred_at": event.metadata.occurred_at, "recorded_at": event.recorded_at,
        "actor": event.metadata.actor, "command_id": event.metadata.command_id,
        "correlation_id": event.metadata.correlation_id, "causation_id": event.metadata.causation_id,
        "saga": saga, "data": data(event),
    })
}

/// One event as a line that people read: position, time, type, version, payload.
fn as_line(event: &Recorded) -> String {
    let at = event
        .metadata
        .occurred_at
        .strftime("%Y-%m-%d %H:%M:%S%.3fZ");
    let id = event
        .aggregate_id()
        .map(|id| id.to_string())
        .unwrap_or_default();
    format!(
        "{:>8}  {at}  {id:36}  {:>3}  {:30} {}",
        event.position,
        event.version,
        event.event_type,
        data(event)
    )
}

/// The payload, or in its place why it cannot be shown: a damaged event must not end a listing.
fn data(event: &Recorded) -> Value {
    codec::to_json(&event.payload)
        .unwrap_or_else(|error| json!({ "unreadable": error.to_string() }))
}
