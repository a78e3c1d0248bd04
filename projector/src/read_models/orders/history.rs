//! GET /v1/orders/{id}/history: the events of an order, its payment and its saga, read from the log and decoded.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use event_schema::{PersonalKey, Recorded, Sealed, Subject, Timestamp, Version, codec};
use event_store::Freshness;
use service_kit::cursor::Page;
use service_kit::extract::Path;
use service_kit::{ApiRouter, Caller, Problem, routes};

use super::NAME;
use super::order_routes::{ALLOWED, find};
use super::show::Whose;
use crate::http::{self, Answer, Asked, ReadSide};

const READS: &[&str] = &[NAME];
/// The histories that make up an order's.
const AGGREGATES: [&str; 3] = ["order", "payment", "fulfilment"];
/// Most events of one answer, the oldest first; an order has a few dozen.
const SHOWN_EVENTS_MAX: usize = 1_000;
/// What only the seller's side may know.
const SELLERS_FIELDS: &[&str] = &["unit_cost"];
/// What only admins may know: names at the provider, and the customer's card there.
const ADMINS_FIELDS: &[&str] = &[
    "provider_payment_id",
    "provider_event_id",
    "session_id",
    "token",
];

/// One event of a history.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HistoryEvent {
    /// Its place in the log.
    pub position: u64,
    /// order, payment or fulfilment.
    pub aggregate: String,
    /// Its place in that history.
    pub version: u64,
    /// Its own id.
    pub event_id: Uuid,
    /// Such as `order.placed`.
    pub event_type: String,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: Timestamp,
    /// Who made it happen.
    pub actor: String,
    /// The saga's step, for the saga's events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// How a try of it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// What it says. Personal data is opened for those who may see it, and null where its key was destroyed.
    pub data: Value,
}

pub(super) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(ALLOWED, routes!(show))
}

/// Everything that happened to one order, in the order of the log.
#[utoipa::path(
    get, path = "/v1/orders/{id}/history", tag = "orders", operation_id = "order_history", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The events", body = Page<HistoryEvent>), (status = 404, description = "No such order"))
)]
async fn show(
    State(read): State<ReadSide>,
    caller: Caller,
    asked: Asked,
    Path(id): Path<Uuid>,
) -> Result<Answer<Page<HistoryEvent>>, Problem> {
    let reading = read.reading(asked, READS, Some(id)).await?;
    let whose = Whose::of(&caller);
    let found = find(&read, id, whose).await?;
    let found = found.ok_or_else(|| reading.nothing(format!("there is no order {id}")))?;
    let version = found.row.version;

    let mut events: Vec<Recorded> = Vec::new();
    for aggregate in AGGREGATES {
        let subject = Subject::history(aggregate, id);
        let history = read
            .store()
            .load(&subject, Version::NONE, None, Freshness::Leader)
            .await
            .map_err(http::log)?;
        events.extend(history.events);
    }
    events.sort_by_key(|event| event.position);
    let has_more = events.len() > SHOWN_EVENTS_MAX;
    events.truncate(SHOWN_EVENTS_MAX);

    let hidden = hidden_from(whose, found.row.partner_id);
    let mut told: Vec<(Recorded, Value)> = Vec::with_capacity(events.len());
    for event in events {
        let data = codec::to_json(&event.payload).map_err(|error| Problem::unexpected(&error))?;
        told.push((event, data));
    }
    let mut persons = BTreeSet::new();
    told.iter()
        .for_each(|(_, data)| persons_of(data, &mut persons));
    let keys = read
        .personal()
        .keys(&persons)
        .await
        .map_err(|error| Problem::from(error.0))?;
    let data = told
        .into_iter()
        .map(|(event, mut data)| {
            open(&mut data, &keys);
            hide(&mut data, &hidden);
            shown(event, data)
        })
        .collect();
    Ok(reading
        .answer(Page {
            data,
            next_cursor: None,
            has_more,
        })
        .version(version))
}

fn shown(event: Recorded, data: Value) -> HistoryEvent {
    let (step, outcome) = event
        .saga
        .map_or((None, None), |saga| (saga.step, saga.outcome));
    HistoryEvent {
        position: event.position.0,
        aggregate: event
            .subject
            .aggregate()
            .map(|(name, _)| name.to_owned())
            .unwrap_or_default(),
        version: event.version.0,
        event_id: event.event_id,
        event_type: event.event_type,
        occurred_at: event.metadata.occurred_at,
        actor: event.metadata.actor.to_string(),
        step,
        outcome,
        data,
    }
}

/// Fields that this caller is not shown.
fn hidden_from(whose: Whose, seller: Option<Uuid>) -> Vec<&'static str> {
    let sells = whose.partner.is_some() && whose.partner == seller;
    let mut hidden = Vec::new();
    if !whose.everybodys {
        hidden.extend_from_slice(ADMINS_FIELDS);
    }
    if !whose.everybodys && !sells {
        hidden.extend_from_slice(SELLERS_FIELDS);
    }
    hidden
}

fn hide(value: &mut Value, hidden: &[&str]) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !hidden.contains(&name.as_str()));
            members.values_mut().for_each(|member| hide(member, hidden));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, hidden)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether this is a sealed value, wherever it is in a payload: told by its shape, so that no event type is forgotten.
fn is_sealed(value: &Value) -> bool {
    let shape = ["person", "origin", "field", "sealed"];
    value.as_object().is_some_and(|members| {
        members.len() == shape.len() && shape.iter().all(|name| members.contains_key(*name))
    })
}

fn sealed(value: &Value) -> Option<Sealed<Value>> {
    serde_json::from_value(value.clone()).ok()
}

pub(crate) fn persons_of(value: &Value, persons: &mut BTreeSet<Uuid>) {
    if is_sealed(value) {
        persons.extend(sealed(value).map(|sealed| sealed.person));
        return;
    }
    match value {
        Value::Object(members) => members
            .values()
            .for_each(|member| persons_of(member, persons)),
        Value::Array(items) => items.iter().for_each(|item| persons_of(item, persons)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Opens what can be opened; what cannot is null, and never shown as it is stored.
pub(crate) fn open(value: &mut Value, keys: &BTreeMap<Uuid, PersonalKey>) {
    if is_sealed(value) {
        *value = match sealed(value).map(|sealed| sealed.open(keys.get(&sealed.person))) {
            Some(Ok(opened)) => opened.unwrap_or(Value::Null),
            Some(Err(error)) => {
                tracing::warn!(%error, "sealed data of a history cannot be opened");
                Value::Null
            }
            None => Value::Null,
        };
        return;
    }
    match value {
        Value::Object(members) => members.values_mut().for_each(|member| open(member, keys)),
        Value::Array(items) => items.iter_mut().for_each(|item| open(item, keys)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
