//! A decider without its type: how to begin, fold, keep and restore a state that is only known as `Any`.

use std::any::{Any, TypeId};
use std::sync::Arc;

use uuid::Uuid;

use event_schema::codec::{self, CodecError};
use event_schema::{Decider, EventSet, Recorded, Subject};

use crate::store::LoadError;

/// A state of some decider.
pub(crate) type AnyState = Arc<dyn Any + Send + Sync>;

/// What the executor has to know of a decider.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) type_id: TypeId,
    pub(crate) name: &'static str,
    pub(crate) aggregate: &'static str,
    pub(crate) shape: u32,
    pub(crate) initial: fn() -> AnyState,
    pub(crate) fold: fn(&AnyState, &[Recorded]) -> Result<AnyState, LoadError>,
    /// The state as bytes; none when it is of another kind, or cannot be encoded.
    pub(crate) keep: fn(&AnyState) -> Option<Vec<u8>>,
    pub(crate) restore: fn(&[u8]) -> Result<AnyState, CodecError>,
}

impl Kind {
    pub(crate) fn of<D: Decider>() -> Self {
        Self {
            type_id: TypeId::of::<D>(),
            name: std::any::type_name::<D>(),
            aggregate: D::Event::AGGREGATE,
            shape: D::SHAPE,
            initial: || Arc::new(D::initial()),
            fold: fold::<D>,
            keep: |state| codec::encode(state.downcast_ref::<D::State>()?).ok(),
            restore: |bytes| Ok(Arc::new(codec::decode::<D::State>(bytes)?)),
        }
    }

    /// The key of a state's snapshot: a state of another shape is never read.
    pub(crate) fn snapshot_key(&self, id: Uuid) -> String {
        format!("{}.{}.{id}", self.aggregate, self.shape)
    }
}

fn fold<D: Decider>(state: &AnyState, events: &[Recorded]) -> Result<AnyState, LoadError> {
    let Some(state) = state.downcast_ref::<D::State>() else {
        return Err(damaged(events, "it was folded as another aggregate before"));
    };
    let mut state = state.clone();
    for recorded in events {
        state = D::evolve(state, &decode::<D>(recorded)?);
    }
    Ok(Arc::new(state))
}

/// Reads a stored event; one of a newer build is told apart from a damaged one.
pub(crate) fn decode<D: Decider>(recorded: &Recorded) -> Result<D::Event, LoadError> {
    let Recorded {
        event_type,
        schema_version,
        payload,
        subject,
        position,
        ..
    } = recorded;
    D::Event::decode(event_type, *schema_version, payload).map_err(|error| {
        if error.is_newer() {
            newer(subject, event_type, *schema_version)
        } else {
            LoadError::Corrupt {
                place: format!("{subject}, position {position}"),
                reason: with_cause(&error),
            }
        }
    })
}

fn newer(subject: &Subject, event_type: &str, version: u16) -> LoadError {
    LoadError::Newer {
        subject: subject.clone(),
        event_type: format!("{event_type} v{version}"),
    }
}

fn damaged(events: &[Recorded], reason: &str) -> LoadError {
    let place = events
        .first()
        .map_or_else(|| "a state".to_owned(), |event| event.subject.to_string());
    LoadError::Corrupt {
        place,
        reason: reason.to_owned(),
    }
}

/// An error's text with the texts of its causes.
pub(crate) fn with_cause(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
