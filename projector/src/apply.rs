//! One batch of events into one projection: rows, parked keys and checkpoint in one transaction, or nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlx::{Connection as _, PgConnection, PgPool};
use uuid::Uuid;

use event_schema::{Position, Recorded};
use event_store::{EventStore, Freshness, LoadError};
use service_kit::postgres;
use service_kit::problem::Chain;

use crate::checkpoint::{self, Step};
use crate::parking::{self, PARKED_KEYS_MAX, Stored};
use crate::personal::Personal;
use crate::projection::{ApplyError, Batch, Projection};
use crate::schema::Schema;

/// Applies events to one projection in one schema.
#[derive(Clone)]
pub(crate) struct Applier {
    pub projection: Arc<dyn Projection>,
    pub schema: Schema,
    pub personal: Personal,
    /// Who writes: the name in the lease.
    pub holder: Arc<str>,
    /// Which log the events come from.
    pub log: Arc<str>,
}

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// Rows and checkpoint are committed.
    Committed {
        /// Events that concerned the projection and are in the rows now.
        events: usize,
        /// Keys that were parked by this batch.
        parked: usize,
    },
    /// Somebody else writes, or a person paused it; nothing was committed.
    TakenOver,
    /// The batch is committed, and so many keys are parked now that the projection was stopped.
    Stopped,
}

/// How another try of a parked key ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resumed {
    /// Its events are in the rows.
    Released,
    /// It stays parked, from this position on.
    StillParked {
        /// The first event that is not in the rows.
        position: Position,
        /// Why.
        cause: String,
    },
    /// It was not parked.
    NotParked,
}

/// Why a parked key could not even be tried.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LoadError),
    /// The rows cannot be written.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

impl From<sqlx::Error> for ResumeError {
    fn from(error: sqlx::Error) -> Self {
        Self::Apply(error.into())
    }
}

impl Applier {
    /// Applies a batch that begins after `from` and ends at its last event, which is never empty.
    pub async fn apply(
        &self,
        pool: &PgPool,
        from: Position,
        events: &[Recorded],
        rate: f64,
    ) -> Result<Applied, ApplyError> {
        let Some(last) = events.last() else {
            return Ok(Applied::Committed {
                events: 0,
                parked: 0,
            });
        };
        let name = self.projection.name();
        let step = Step {
            from,
            to: last.position,
            event_id: last.event_id,
            log: &self.log,
            rate,
        };
        let mut transaction = postgres::begin(pool).await?;
        // First of all: it locks the row, so that a second writer waits here and then finds itself overtaken.
        if !checkpoint::advance(&mut transaction, &self.schema, name, &self.holder, step).await? {
            return Ok(Applied::TakenOver);
        }
        let keyed: Vec<(Uuid, &Recorded)> = events
            .iter()
            .filter(|event| event.position > from)
            .filter_map(|event| Some((self.projection.key(event)?, event)))
            .collect();
        if keyed.is_empty() {
            transaction.commit().await?;
            return Ok(Applied::Committed {
                events: 0,
                parked: 0,
            });
        }
        let parked = parking::list(&mut transaction, &self.schema, name).await?;
        let held: BTreeSet<Uuid> = parked.iter().map(|parked| parked.key).collect();
        let due: Vec<(Uuid, &Recorded)> = keyed
            .into_iter()
            .filter(|(key, _)| !held.contains(key))
            .collect();
        let newly_parked = self.apply_due(&mut transaction, &due).await?;
        let too_many = held.len() + newly_parked > PARKED_KEYS_MAX;
        if too_many {
            let why = parking::too_many(name);
            tracing::error!(projection = name, why, "projection stopped");
            checkpoint::set_stopped(&mut transaction, &self.schema, name, Some(&why)).await?;
        }
        transaction.commit().await?;
        if too_many {
            return Ok(Applied::Stopped);
        }
        Ok(Applied::Committed {
            events: due.len(),
            parked: newly_parked,
        })
    }

    /// All at once; only when the batch holds something that cannot be applied, one by one to find out what.
    async fn apply_due(
        &self,
        connection: &mut PgConnection,
        due: &[(Uuid, &Recorded)],
    ) -> Result<usize, ApplyError> {
        let events: Vec<&Recorded> = due.iter().map(|(_, event)| *event).collect();
        if events.is_empty() {
            return Ok(0);
        }
        match self.apply_within(connection, &events).await {
            Ok(()) => return Ok(0),
            Err(error) if error.is_poison() => {}
            Err(error) => return Err(error),
        }
        let mut parked = BTreeSet::new();
        for (key, event) in due {
            if parked.contains(key) {
                continue;
            }
            match self.apply_within(connection, &[event]).await {
                Ok(()) => {}
                Err(error) if error.is_poison() => {
                    self.park(connection, *key, event, &error).await?;
                    parked.insert(*key);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(parked.len())
    }

    /// Within a savepoint, so that what fails leaves the transaction as it was.
    async fn apply_within(
        &self,
        connection: &mut PgConnection,
        events: &[&Recorded],
    ) -> Result<(), ApplyError> {
        let mut savepoint = connection.begin().await?;
        let applied = {
            let mut batch = Batch::new(&mut savepoint, &self.schema, &self.personal);
            self.projection.apply(&mut batch, events).await
        };
        match applied {
            Ok(()) => savepoint.commit().await?,
            Err(error) => {
                savepoint.rollback().await?;
                return Err(error);
            }
        }
        Ok(())
    }

    async fn park(
        &self,
        connection: &mut PgConnection,
        key: Uuid,
        event: &Recorded,
        error: &ApplyError,
    ) -> Result<(), sqlx::Error> {
        let name = self.projection.name();
        let cause = cause(error);
        tracing::error!(
            projection = name, key = %key, position = event.position.0, event.type = event.event_type, cause,
            "an event cannot be applied; its key is parked, everything else goes on",
        );
        parking::park(connection, &self.schema, name, key, event.position, &cause).await
    }

    /// Tries a parked key again: its events are read from the log by subject, as far as the checkpoint has come.
    pub async fn resume(
        &self,
        pool: &PgPool,
        store: &dyn EventStore,
        key: Uuid,
    ) -> Result<Resumed, ResumeError> {
        let name = self.projection.name();
        let mut transaction = postgres::begin(pool).await?;
        let Some(checkpoint) = checkpoint::lock(&mut transaction, &self.schema, name).await? else {
            return Ok(Resumed::NotParked);
        };
        let Some(first) = parking::since(&mut transaction, &self.schema, name, key).await? else {
            return Ok(Resumed::NotParked);
        };
        let events = match self.held(store, key, first, checkpoint.position).await {
            // A history that cannot be read stays parked; the others need not wait for it.
            Err(error @ (LoadError::Corrupt { .. } | LoadError::Newer { .. })) => {
                return Ok(Resumed::StillParked {
                    position: first,
                    cause: error.to_string(),
                });
            }
            events => events?,
        };
        let due: Vec<&Recorded> = events.iter().collect();
        let resumed = match self.apply_within(&mut transaction, &due).await {
            Ok(()) => Resumed::Released,
            Err(error) if error.is_poison() => {
                self.resume_one_by_one(&mut transaction, key, &events)
                    .await?
            }
            Err(error) => return Err(error.into()),
        };
        if resumed == Resumed::Released {
            parking::release(&mut transaction, &self.schema, name, key).await?;
        }
        transaction.commit().await?;
        Ok(resumed)
    }

    async fn resume_one_by_one(
        &self,
        connection: &mut PgConnection,
        key: Uuid,
        events: &[Recorded],
    ) -> Result<Resumed, ApplyError> {
        for event in events {
            match self.apply_within(connection, &[event]).await {
                Ok(()) => {}
                Err(error) if error.is_poison() => {
                    self.park(connection, key, event, &error).await?;
                    return Ok(Resumed::StillParked {
                        position: event.position,
                        cause: cause(&error),
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Resumed::Released)
    }

    /// A key's events from the first held one on, in the order of the log.
    async fn held(
        &self,
        store: &dyn EventStore,
        key: Uuid,
        first: Position,
        Stored(until): Stored,
    ) -> Result<Vec<Recorded>, LoadError> {
        let mut events = Vec::new();
        for subject in self.projection.subjects(key) {
            let history = store
                .load(
                    &subject,
                    event_schema::Version::NONE,
                    None,
                    Freshness::Leader,
                )
                .await?;
            events.extend(history.events);
        }
        events.retain(|event| event.position >= first && event.position <= until);
        events.sort_by_key(|event| event.position);
        Ok(events)
    }
}

fn cause(error: &ApplyError) -> String {
    match error {
        ApplyError::Event { cause, .. } => cause.clone(),
        other => Chain(other).to_string(),
    }
}
