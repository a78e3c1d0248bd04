//! The queries' side of HTTP: every GET of the API, answered from rows, each answer with the position it was read at.

mod answer;
mod asked;
mod gate;
pub(crate) mod money;

use std::sync::Arc;

use sqlx::PgPool;

use event_store::{EventStore, LoadError};
use service_kit::{Problem, postgres};

use crate::events_route::Feed;
use crate::moves::Moves;
use crate::personal::Personal;

pub(crate) use answer::Answer;
pub(crate) use asked::Asked;

/// What handlers need. Cheap to clone.
#[derive(Clone)]
pub struct ReadSide(Arc<Parts>);

pub(crate) struct Parts {
    pub pool: PgPool,
    pub store: Arc<dyn EventStore>,
    pub personal: Personal,
    pub moves: Moves,
    pub feed: Feed,
}

impl ReadSide {
    /// Queries over this pool; `moves` wakes those that wait for a position.
    pub fn new(pool: PgPool, store: Arc<dyn EventStore>, personal: Personal, moves: Moves) -> Self {
        Self(Arc::new(Parts {
            pool,
            store,
            personal,
            moves,
            feed: Feed::default(),
        }))
    }

    /// The same with other limits for live readers.
    #[cfg(test)]
    pub(crate) fn with_feed(self, feed: Feed) -> Self {
        let Parts {
            pool,
            store,
            personal,
            moves,
            ..
        } = Arc::into_inner(self.0).expect("not shared yet");
        Self(Arc::new(Parts {
            pool,
            store,
            personal,
            moves,
            feed,
        }))
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    pub(crate) fn store(&self) -> &dyn EventStore {
        &*self.0.store
    }

    pub(crate) fn feed(&self) -> &Feed {
        &self.0.feed
    }

    pub(crate) fn personal(&self) -> &Personal {
        &self.0.personal
    }
}

/// A database error as the caller sees it. Tables that are not there are made again by the worker: come back later.
pub(crate) fn database(error: sqlx::Error) -> Problem {
    let missing = |error: &dyn sqlx::error::DatabaseError| {
        // The schema or a table of it was dropped.
        error
            .code()
            .is_some_and(|code| code == "42P01" || code == "3F000")
    };
    match &error {
        error if postgres::is_unavailable(error) => Problem::database_unavailable(),
        sqlx::Error::Database(error) if missing(&**error) => Problem::database_unavailable(),
        other => Problem::unexpected(other),
    }
}

/// An error of reading the log as the caller sees it.
pub(crate) fn log(error: LoadError) -> Problem {
    match &error {
        LoadError::Unavailable(_) | LoadError::NotReached(_) | LoadError::Rewound(_) => {
            Problem::broker_unavailable()
        }
        LoadError::Newer { .. } => Problem::newer_events(error.to_string()),
        LoadError::Corrupt { .. } => Problem::unexpected(&error),
    }
}
