//! The queries' side of HTTP: every GET of the API, answered from rows, each answer with the position it was read at.

mod answer;
mod asked;
mod described;
mod gate;
pub(crate) mod money;

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;

use event_store::{EventStore, LoadError};
use service_kit::{Problem, postgres};

use crate::events_route::{Feed, Limits};
use crate::moves::Moves;
use crate::personal::Personal;

pub(crate) use answer::Answer;
pub(crate) use asked::Asked;
pub(crate) use described::describe;

/// Readers of the stocks look at rows, each a few times a second, and need nothing of the broker.
const STOCK_LIMITS: Limits = Limits {
    readers_max: 64,
    waiting_events_max: 128,
    slow_max: Duration::from_secs(10),
    stay_max: Duration::from_secs(60 * 60),
};

/// Every customer may follow his inbox. Each look is two small queries, a few times a second at most.
const INBOX_LIMITS: Limits = Limits {
    readers_max: 256,
    ..STOCK_LIMITS
};

/// What handlers need. Cheap to clone.
#[derive(Clone)]
pub struct ReadSide(Arc<Parts>);

pub(crate) struct Parts {
    pub pool: PgPool,
    pub store: Arc<dyn EventStore>,
    pub personal: Personal,
    pub moves: Moves,
    pub feed: Feed,
    pub stock_feed: Feed,
    pub inbox_feed: Feed,
    pub provider: Arc<str>,
}

impl ReadSide {
    /// Queries over this pool; `moves` wakes those that wait for a position, `provider` is the payment provider that
    /// the settings name.
    pub fn new(
        pool: PgPool,
        store: Arc<dyn EventStore>,
        personal: Personal,
        moves: Moves,
        provider: &str,
    ) -> Self {
        Self(Arc::new(Parts {
            pool,
            store,
            personal,
            moves,
            feed: Feed::default(),
            stock_feed: Feed::new(STOCK_LIMITS),
            inbox_feed: Feed::new(INBOX_LIMITS),
            provider: Arc::from(provider),
        }))
    }

    /// The same with other limits for live readers.
    #[cfg(test)]
    pub(crate) fn with_live_limits(self, limits: Limits) -> Self {
        let Parts {
            pool,
            store,
            personal,
            moves,
            provider,
            ..
        } = Arc::into_inner(self.0).expect("not shared yet");
        Self(Arc::new(Parts {
            pool,
            store,
            personal,
            moves,
            feed: Feed::new(limits),
            stock_feed: Feed::new(limits),
            inbox_feed: Feed::new(limits),
            provider,
        }))
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    pub(crate) fn store(&self) -> &dyn EventStore {
        &*self.0.store
    }

    /// The readers of the log.
    pub(crate) fn feed(&self) -> &Feed {
        &self.0.feed
    }

    /// The readers of the stocks.
    pub(crate) fn stock_feed(&self) -> &Feed {
        &self.0.stock_feed
    }

    /// The readers of their inboxes.
    pub(crate) fn inbox_feed(&self) -> &Feed {
        &self.0.inbox_feed
    }

    pub(crate) fn moves(&self) -> &Moves {
        &self.0.moves
    }

    /// The id of the payment provider that the settings name.
    pub(crate) fn provider(&self) -> &str {
        &self.0.provider
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
