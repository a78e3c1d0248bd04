//! An event as admins see it: the envelope, and the payload as JSON with personal data opened.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use event_schema::{Recorded, SagaHeaders, Timestamp, codec};
use service_kit::Problem;

use crate::personal::Personal;
use crate::read_models::orders::history::{open, persons_of};

/// An event of the log.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LoggedEvent {
    /// Its place in the log.
    pub position: u64,
    /// Whose history it belongs to.
    pub subject: String,
    /// Which kind of aggregate that is.
    pub aggregate: String,
    /// The aggregate's id.
    pub aggregate_id: Option<Uuid>,
    /// Its place in that history.
    pub version: u64,
    /// Its own id.
    pub event_id: Uuid,
    /// Such as `order.placed`.
    pub event_type: String,
    /// Version of the payload's shape as it is stored.
    pub schema_version: u16,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: Timestamp,
    /// When a broker first stored it.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Timestamp,
    /// Who made it happen.
    pub actor: String,
    /// The command, the same for every repeat of it.
    pub command_id: Uuid,
    /// The conversation it belongs to.
    pub correlation_id: Uuid,
    /// The event that directly caused it, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Uuid>,
    /// What a saga's events say besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saga: Option<SagaPart>,
    /// What it says. Personal data is opened, and null where its key was destroyed.
    pub data: Value,
}

/// What a saga's events say besides.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SagaPart {
    /// Version and digest of the definition it runs under.
    pub def: Option<String>,
    /// The step it is about.
    pub step: Option<String>,
    /// ok, refused, retry or unknown.
    pub outcome: Option<String>,
    /// Which try.
    pub attempt: Option<u32>,
    /// The effect's stable id.
    pub effect_id: Option<Uuid>,
    /// When the saga is woken if nothing else happens.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline: Option<Timestamp>,
}

/// Shows events, opening what their persons' keys still open.
pub(super) async fn show(
    events: Vec<Recorded>,
    personal: &Personal,
) -> Result<Vec<LoggedEvent>, Problem> {
    let mut persons = BTreeSet::new();
    let told: Vec<(Recorded, Value)> = events
        .into_iter()
        .map(|event| {
            // A damaged event must not end a listing: it is what somebody is looking for.
            let data = codec::to_json(&event.payload)
                .unwrap_or_else(|error| json!({ "unreadable": error.to_string() }));
            persons_of(&data, &mut persons);
            (event, data)
        })
        .collect();
    let keys = personal
        .keys(&persons)
        .await
        .map_err(|error| Problem::from(error.0))?;
    let shown = told.into_iter().map(|(event, mut data)| {
        open(&mut data, &keys);
        shown(event, data)
    });
    Ok(shown.collect())
}

fn shown(event: Recorded, data: Value) -> LoggedEvent {
    let (aggregate, aggregate_id) = match event.subject.aggregate() {
        Some((name, id)) => (name.to_owned(), Some(id)),
        None => (String::new(), None),
    };
    let metadata = event.metadata;
    LoggedEvent {
        position: event.position.0,
        subject: event.subject.to_string(),
        aggregate,
        aggregate_id,
        version: event.version.0,
        event_id: event.event_id,
        event_type: event.event_type,
        schema_version: event.schema_version,
        occurred_at: metadata.occurred_at,
        recorded_at: event.recorded_at,
        actor: metadata.actor.to_string(),
        command_id: metadata.command_id.uuid(),
        correlation_id: metadata.correlation_id,
        causation_id: metadata.causation_id,
        saga: event.saga.map(saga),
        data,
    }
}

fn saga(saga: SagaHeaders) -> SagaPart {
    SagaPart {
        def: saga.def,
        step: saga.step,
        outcome: saga.outcome,
        attempt: saga.attempt,
        effect_id: saga.effect_id.map(|id| id.0),
        deadline: saga.deadline,
    }
}
