//! How far the bucket shows a share's events, and of which log: the key `_complete_to.<hex>`, written as position, log and
//! the id of the event there. A new owner skips what lies before it, which would be wrong in another log.

use std::fmt;
use std::time::Duration;

use async_nats::jetstream::kv::Store;
use event_schema::Position;
use event_store::{EventStore, LoadError, LogIdentity};
use tokio::time::timeout;
use uuid::Uuid;

use crate::runner::Share;

const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// Stands for the event's id where no event of ours lies.
const NO_EVENT: &str = "-";
const WHAT_TO_DO: &str = "no saga is worked; bring the right log back, or take this one for the truth and empty the bucket: \
                          docs/runbooks/log-rewound.md says how";

/// How far a share is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completeness {
    /// Everything up to here is shown.
    pub position: Position,
    /// Of which log; unknown where an older build has written it.
    pub log: Option<String>,
    /// The event at the position.
    pub event_id: Option<Uuid>,
}

impl Completeness {
    /// A position of the log as it is.
    pub(super) async fn at(store: &dyn EventStore, position: Position) -> Result<Self, LoadError> {
        Ok(Self {
            position,
            log: Some(store.identity().await?.to_string()),
            event_id: event_at(store, position).await?,
        })
    }

    /// Unreadable is not known: everything is read again.
    fn parse(text: &str) -> Self {
        let mut parts = text.split_whitespace();
        let Some(position) = parts.next().and_then(|part| part.parse().ok()) else {
            return Self::default();
        };
        Self {
            position: Position(position),
            log: parts.next().map(str::to_owned),
            event_id: parts.next().and_then(|part| part.parse().ok()),
        }
    }

    /// Why this was not written of the log as it is, in words that say what to do; nothing when it was, or does not say.
    pub(crate) async fn mismatch(
        &self,
        store: &dyn EventStore,
        now: &LogIdentity,
        end: Position,
    ) -> Result<Option<String>, LoadError> {
        let Some(log) = &self.log else {
            return Ok(None);
        };
        let position = self.position;
        let why = if *log != now.to_string() {
            format!("the log was recreated: it is {now}, and was {log}")
        } else if position > end {
            format!(
                "the log has lost its tail: it ends at {end}, and sagas were worked up to {position}"
            )
        } else if event_at(store, position).await? != self.event_id {
            format!(
                "the log has lost its tail and grown again: at {position} it does not hold the event that was worked last"
            )
        } else {
            return Ok(None);
        };
        Ok(Some(format!("{why}; {WHAT_TO_DO}")))
    }
}

impl fmt::Display for Completeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.position)?;
        let Some(log) = &self.log else { return Ok(()) };
        match self.event_id {
            Some(event_id) => write!(f, " {log} {event_id}"),
            None => write!(f, " {log} {NO_EVENT}"),
        }
    }
}

async fn event_at(store: &dyn EventStore, position: Position) -> Result<Option<Uuid>, LoadError> {
    match store.at(position).await {
        Ok(event) => Ok(event.map(|event| event.event_id)),
        // A message that is no event of ours.
        Err(LoadError::Corrupt { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How far a share is shown, as its last owner left it.
pub async fn complete_to(bucket: &Store, share: Share) -> Result<Completeness, String> {
    let read = timeout(READ_TIMEOUT, bucket.get(key(share))).await;
    let value = read
        .map_err(|_| "no answer in time".to_owned())?
        .map_err(|error| error.to_string())?;
    Ok(value.map_or_else(Completeness::default, |value| {
        Completeness::parse(&String::from_utf8_lossy(&value))
    }))
}

pub(super) fn key(share: Share) -> String {
    format!("_complete_to.{share}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_an_older_builds_number_too() {
        let bound = Completeness {
            position: Position(7),
            log: Some("EVENTS@2026-11-21T03:00:00Z".into()),
            event_id: Some(Uuid::from_u128(5)),
        };
        let foreign = Completeness {
            event_id: None,
            ..bound.clone()
        };
        let older = Completeness {
            position: Position(7),
            ..Completeness::default()
        };
        for known in [bound, foreign, older] {
            assert_eq!(Completeness::parse(&known.to_string()), known);
        }
        for unreadable in ["", "seven", "-1 x y"] {
            assert_eq!(Completeness::parse(unreadable), Completeness::default());
        }
    }
}
