//! How far the notifier is, in the bucket `notifier`: written by compare-and-set, so that a leader that slept cannot set
//! it back.

use std::collections::BTreeSet;

use async_nats::jetstream::kv::{self, Operation};
use event_schema::Position;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::roster::Admins;

/// The entry's key.
const KEY: &str = "checkpoint";
/// Histories with messages that wait for long, and are named rather than read again.
pub(crate) const STRAGGLERS_MAX: usize = 5_000;

/// What a leader hands on to the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// Which log.
    pub(crate) log: String,
    /// Every event up to here has made its intents.
    pub(crate) position: u64,
    /// Every open message but the stragglers was intended here or later.
    pub(crate) open_from: u64,
    /// Histories with open messages that were intended earlier.
    pub(crate) stragglers: BTreeSet<Uuid>,
    /// Who runs the shop, as of the position.
    pub(crate) admins: BTreeSet<Uuid>,
}

impl Checkpoint {
    /// A beginning at the end of a log: nothing of the past is told.
    pub(crate) fn at_the_end(log: String, end: Position, admins: Admins) -> Self {
        Self {
            log,
            position: end.0,
            open_from: end.0.saturating_add(1),
            stragglers: BTreeSet::new(),
            admins: admins.0,
        }
    }

    /// After which position a new leader reads on.
    pub(crate) fn read_after(&self) -> Position {
        Position(self.position.min(self.open_from.saturating_sub(1)))
    }
}

/// The checkpoint could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SaveError {
    #[error("another notifier has written the checkpoint")]
    Lost,
    #[error("the checkpoint cannot be written: {0}")]
    Away(String),
}

/// The entry, with what was written last.
pub(crate) struct Ledger {
    bucket: kv::Store,
    revision: u64,
    saved: Option<Checkpoint>,
}

impl Ledger {
    /// Reads the entry; none when nobody has ever led.
    ///
    /// # Errors
    /// When the bucket cannot be read.
    pub(crate) async fn open(bucket: kv::Store) -> Result<(Self, Option<Checkpoint>), String> {
        let entry = bucket.entry(KEY).await.map_err(|error| error.to_string())?;
        let revision = entry.as_ref().map_or(0, |entry| entry.revision);
        let entry = entry.filter(|entry| entry.operation == Operation::Put);
        let saved = entry
            .map(|entry| serde_json::from_slice(&entry.value))
            .transpose()
            .map_err(|error| format!("the checkpoint cannot be read: {error}"))?;
        let ledger = Self {
            bucket,
            revision,
            saved: None,
        };
        Ok((ledger, saved))
    }

    /// Writes the checkpoint unless it is the one that is there.
    ///
    /// # Errors
    /// When somebody else has written, or the broker is away.
    pub(crate) async fn save(&mut self, checkpoint: Checkpoint) -> Result<(), SaveError> {
        if self.saved.as_ref() == Some(&checkpoint) {
            return Ok(());
        }
        let line = serde_json::to_vec(&checkpoint);
        let line = line.map_err(|error| SaveError::Away(error.to_string()))?;
        match self
            .bucket
            .update(KEY, line.clone().into(), self.revision)
            .await
        {
            Ok(revision) => self.revision = revision,
            Err(error) => {
                // Refused, or the answer was lost: the entry itself tells.
                let entry = self.bucket.entry(KEY).await;
                let entry = entry.map_err(|_| SaveError::Away(error.to_string()))?;
                match entry {
                    Some(entry) if *entry.value == *line => self.revision = entry.revision,
                    Some(entry) if entry.revision == self.revision => {
                        return Err(SaveError::Away(error.to_string()));
                    }
                    None if self.revision == 0 => return Err(SaveError::Away(error.to_string())),
                    _ => return Err(SaveError::Lost),
                }
            }
        }
        self.saved = Some(checkpoint);
        Ok(())
    }
}
