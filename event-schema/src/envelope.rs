//! The envelope: what every stored event carries besides its payload, and how that is spelt in message headers.
//!
//! Headers are readable by eye with the `nats` CLI; nothing in them is needed to decode the payload but
//! `Event-Type` and `Event-Version`.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;
use crate::ids::{CommandId, EffectId};
use crate::subject::Subject;

/// Target of the spans (`tracing`) that are exported as traces and are no part of the log.
pub const TRACE_TARGET: &str = "waybill_trace";

/// Header names as stored.
pub mod header {
    pub const EVENT_ID: &str = "Event-Id";
    pub const EVENT_TYPE: &str = "Event-Type";
    pub const EVENT_VERSION: &str = "Event-Version";
    pub const AGGREGATE_VERSION: &str = "Aggregate-Version";
    pub const OCCURRED_AT: &str = "Occurred-At";
    pub const COMMAND_ID: &str = "Command-Id";
    pub const COMMAND_HASH: &str = "Command-Hash";
    pub const CORRELATION_ID: &str = "Correlation-Id";
    pub const CAUSATION_ID: &str = "Causation-Id";
    pub const ACTOR: &str = "Actor";
    pub const TRACEPARENT: &str = "traceparent";
    pub const SAGA_DEF: &str = "Saga-Def";
    pub const SAGA_STEP: &str = "Saga-Step";
    pub const OUTCOME: &str = "Outcome";
    pub const ATTEMPT: &str = "Attempt";
    pub const EFFECT_ID: &str = "Effect-Id";
    pub const DEADLINE: &str = "Deadline";
}

/// An event's sequence in the stream.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub u64);

/// How many events an aggregate has: 1, 2, 3, no gaps; 0 before the first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub u64);

impl Version {
    /// Before the first event.
    pub const NONE: Self = Self(0);

    /// The version after so many more events.
    #[must_use]
    pub const fn after(self, events: u64) -> Self {
        Self(self.0.saturating_add(events))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who made it happen: `customer:<id>`, `admin:<id>`, `saga`, `notifier`, `provider:<id>`, `system`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Actor(String);

impl Actor {
    /// A signed-in caller, by role and id.
    pub fn caller(role: &str, id: Uuid) -> Self {
        Self(format!("{role}:{id}"))
    }

    /// The saga orchestrator.
    pub fn saga() -> Self {
        Self("saga".into())
    }

    /// The notifier.
    pub fn notifier() -> Self {
        Self("notifier".into())
    }

    /// A payment provider's signed callback.
    pub fn provider(id: &str) -> Self {
        Self(format!("provider:{id}"))
    }

    /// The system itself: seed, migrations.
    pub fn system() -> Self {
        Self("system".into())
    }

    /// The actor as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Actor {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// What the events of one command share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// When it happened, by the clock of the process that decided.
    pub occurred_at: Timestamp,
    /// The command, the same for every repeat of it.
    pub command_id: CommandId,
    /// Keyed hash of the parsed command without secrets; tells a repeat from another command under the same key.
    pub command_hash: Option<String>,
    /// The conversation: the first command's id, handed on by every reaction.
    pub correlation_id: Uuid,
    /// The event that directly caused this command, if one did.
    pub causation_id: Option<Uuid>,
    /// Who made it happen.
    pub actor: Actor,
    /// W3C trace context, when the trace is sampled.
    pub traceparent: Option<String>,
}

impl Metadata {
    /// A command that starts a conversation of its own.
    pub fn new(command_id: CommandId, actor: Actor, occurred_at: Timestamp) -> Self {
        Self {
            occurred_at,
            command_id,
            command_hash: None,
            correlation_id: command_id.uuid(),
            causation_id: None,
            actor,
            traceparent: None,
        }
    }

    /// A reaction to a stored event: the conversation goes on, the event is the cause.
    pub fn caused_by(
        cause: &Recorded,
        command_id: CommandId,
        actor: Actor,
        occurred_at: Timestamp,
    ) -> Self {
        Self {
            correlation_id: cause.metadata.correlation_id,
            causation_id: Some(cause.event_id),
            traceparent: cause.metadata.traceparent.clone(),
            ..Self::new(command_id, actor, occurred_at)
        }
    }
}

/// What a saga's events carry besides, so that a history reads as a story with headers alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SagaHeaders {
    /// Version and digest of the definition, such as `1:5f0c91aa`.
    pub def: Option<String>,
    /// The step it is about.
    pub step: Option<String>,
    /// ok, refused, retry or unknown.
    pub outcome: Option<String>,
    /// Which try, from 1.
    pub attempt: Option<u32>,
    /// The effect's stable id.
    pub effect_id: Option<EffectId>,
    /// When the saga wants to be woken if nothing else happens.
    pub deadline: Option<Timestamp>,
}

/// An event that was decided and is not stored yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// UUIDv7, made when the event was decided; the same in every resend.
    pub event_id: Uuid,
    /// Stored type name, such as `order.placed`.
    pub event_type: &'static str,
    /// Version of the payload's shape.
    pub schema_version: u16,
    /// MessagePack.
    pub payload: Bytes,
    /// Set for a saga's events.
    pub saga: Option<SagaHeaders>,
}

/// A stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its sequence in the stream.
    pub position: Position,
    /// When the broker stored it.
    pub recorded_at: Timestamp,
    /// Whose history it belongs to.
    pub subject: Subject,
    /// Its place in that history.
    pub version: Version,
    /// Its own id.
    pub event_id: Uuid,
    /// Stored type name.
    pub event_type: String,
    /// Version of the payload's shape.
    pub schema_version: u16,
    /// What the command's events share.
    pub metadata: Metadata,
    /// Set for a saga's events.
    pub saga: Option<SagaHeaders>,
    /// MessagePack.
    pub payload: Bytes,
}

impl Recorded {
    /// The aggregate's id, when the event is of an aggregate's history.
    pub fn aggregate_id(&self) -> Option<Uuid> {
        self.subject.aggregate().map(|(_, id)| id)
    }
}

/// Why headers could not be read as an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// A header that every event has is not there.
    #[error("the header {0} is missing")]
    Missing(&'static str),
    /// A header has a value that cannot be read.
    #[error("the header {name} has the unreadable value {value:?}")]
    Unreadable {
        /// Which header.
        name: &'static str,
        /// What it held (cut).
        value: String,
    },
}

/// Spells an envelope as headers, in the order people want to read them.
pub fn to_headers(
    event: &NewEvent,
    version: Version,
    metadata: &Metadata,
) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        (header::EVENT_ID, event.event_id.to_string()),
        (header::EVENT_TYPE, event.event_type.to_owned()),
        (header::EVENT_VERSION, event.schema_version.to_string()),
        (header::AGGREGATE_VERSION, version.to_string()),
        (header::OCCURRED_AT, metadata.occurred_at.to_string()),
        (header::COMMAND_ID, metadata.command_id.to_string()),
        (header::CORRELATION_ID, metadata.correlation_id.to_string()),
        (header::ACTOR, metadata.actor.to_string()),
    ];
    let mut optional =
        |name, value: Option<String>| headers.extend(value.map(|value| (name, value)));
    optional(header::COMMAND_HASH, metadata.command_hash.clone());
    optional(
        header::CAUSATION_ID,
        metadata.causation_id.map(|id| id.to_string()),
    );
    optional(header::TRACEPARENT, metadata.traceparent.clone());
    if let Some(saga) = &event.saga {
        optional(header::SAGA_DEF, saga.def.clone());
        optional(header::SAGA_STEP, saga.step.clone());
        optional(header::OUTCOME, saga.outcome.clone());
        optional(header::ATTEMPT, saga.attempt.map(|n| n.to_string()));
        optional(header::EFFECT_ID, saga.effect_id.map(|id| id.to_string()));
        optional(header::DEADLINE, saga.deadline.map(|at| at.to_string()));
    }
    headers
}

/// Reads an envelope from headers; `get` looks one up by name.
pub fn from_headers<'a>(
    get: impl Fn(&'static str) -> Option<&'a str>,
    subject: Subject,
    position: Position,
    recorded_at: Timestamp,
    payload: Bytes,
) -> Result<Recorded, EnvelopeError> {
    let saga = SagaHeaders {
        def: get(header::SAGA_DEF).map(str::to_owned),
        step: get(header::SAGA_STEP).map(str::to_owned),
        outcome: get(header::OUTCOME).map(str::to_owned),
        attempt: optional(&get, header::ATTEMPT)?,
        effect_id: optional(&get, header::EFFECT_ID)?,
        deadline: optional(&get, header::DEADLINE)?,
    };
    Ok(Recorded {
        position,
        recorded_at,
        subject,
        version: Version(required(&get, header::AGGREGATE_VERSION)?),
        event_id: required(&get, header::EVENT_ID)?,
        event_type: required(&get, header::EVENT_TYPE)?,
        schema_version: required(&get, header::EVENT_VERSION)?,
        metadata: Metadata {
            occurred_at: required(&get, header::OCCURRED_AT)?,
            command_id: required(&get, header::COMMAND_ID)?,
            command_hash: get(header::COMMAND_HASH).map(str::to_owned),
            correlation_id: required(&get, header::CORRELATION_ID)?,
            causation_id: optional(&get, header::CAUSATION_ID)?,
            actor: Actor::from(required::<String>(&get, header::ACTOR)?),
            traceparent: get(header::TRACEPARENT).map(str::to_owned),
        },
        saga: (saga != SagaHeaders::default()).then_some(saga),
        payload,
    })
}

fn required<'a, T: FromStr>(
    get: &impl Fn(&'static str) -> Option<&'a str>,
    name: &'static str,
) -> Result<T, EnvelopeError> {
    optional(get, name)?.ok_or(EnvelopeError::Missing(name))
}

fn optional<'a, T: FromStr>(
    get: &impl Fn(&'static str) -> Option<&'a str>,
    name: &'static str,
) -> Result<Option<T>, EnvelopeError> {
    let parse = |text: &str| {
        text.parse().map_err(|_| EnvelopeError::Unreadable {
            name,
            value: text.chars().take(80).collect(),
        })
    };
    get(name).map(parse).transpose()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn read(headers: &[(&'static str, String)]) -> Result<Recorded, EnvelopeError> {
        let map: HashMap<_, _> = headers.iter().map(|(k, v)| (*k, v.as_str())).collect();
        from_headers(
            |name| map.get(name).copied(),
            Subject::history("order", Uuid::nil()),
            Position(9),
            Timestamp::UNIX_EPOCH,
            Bytes::from_static(b"x"),
        )
    }

    fn sample() -> (NewEvent, Metadata) {
        let event = NewEvent {
            event_id: Uuid::from_u128(1),
            event_type: "fulfilment.started",
            schema_version: 1,
            payload: Bytes::from_static(b"x"),
            saga: Some(SagaHeaders {
                step: Some("authorise".into()),
                attempt: Some(2),
                ..Default::default()
            }),
        };
        let metadata = Metadata {
            command_hash: Some("ab".into()),
            causation_id: Some(Uuid::from_u128(5)),
            ..Metadata::new(
                CommandId(Uuid::from_u128(2)),
                Actor::saga(),
                Timestamp::UNIX_EPOCH,
            )
        };
        (event, metadata)
    }

    #[test]
    fn an_envelope_reads_back_from_its_headers() {
        let (event, metadata) = sample();
        let recorded = read(&to_headers(&event, Version(3), &metadata)).unwrap();
        assert_eq!(recorded.metadata, metadata);
        assert_eq!(recorded.saga, event.saga);
        assert_eq!(
            (recorded.version, recorded.event_id),
            (Version(3), event.event_id)
        );
    }

    #[test]
    fn a_missing_or_unreadable_header_is_named() {
        let (event, metadata) = sample();
        let mut headers = to_headers(&event, Version(3), &metadata);
        headers.retain(|(name, _)| *name != header::EVENT_ID);
        assert_eq!(
            read(&headers),
            Err(EnvelopeError::Missing(header::EVENT_ID))
        );
        headers.push((header::EVENT_ID, "nonsense".into()));
        assert!(matches!(
            read(&headers),
            Err(EnvelopeError::Unreadable {
                name: header::EVENT_ID,
                ..
            })
        ));
    }
}
