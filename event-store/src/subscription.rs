//! Following the log: a bounded stream of everything after a position, in order and without a gap.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use event_schema::{Position, Recorded};

/// Most events that wait in memory for a slow reader.
pub(crate) const BUFFERED_EVENTS_MAX: usize = 2048;

/// Why a subscription has to say something other than an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The log was deleted and made anew: what was read from it before does not belong to it. Final.
    #[error("the log was recreated: it is {now}, and was {before}")]
    Recreated {
        /// Its identity when the subscription began.
        before: String,
        /// Its identity now.
        now: String,
    },
    /// The log ends before the position that was reached: it has lost its tail, or was restored from a backup. Final.
    #[error("the log ends at {end}, before the position {reached} that was already read")]
    Rewound {
        /// What the subscription had reached.
        reached: Position,
        /// Where the log ends.
        end: Position,
    },
    /// Another event lies where the last one was read: the log has lost its tail and grown again. Final.
    #[error(
        "position {position} of the log does not hold what was read there: the log has lost its tail and grown again"
    )]
    Regrown {
        /// What the subscription had reached.
        position: Position,
    },
    /// A message that is no event of ours lies at this position. The next call goes on after it.
    #[error("the message at position {position} cannot be read: {reason}")]
    Unreadable {
        /// Where.
        position: Position,
        /// Why.
        reason: String,
    },
    /// The subscription was shut down. Final.
    #[error("the subscription has ended")]
    Ended,
}

/// Everything after a position, live. Acknowledges nothing: what was handled is the reader's own business.
#[derive(Debug)]
pub struct Subscription {
    events: mpsc::Receiver<Result<Recorded, SubscribeError>>,
    behind: Arc<AtomicU64>,
    reader: AbortHandle,
}

impl Subscription {
    pub(crate) fn new(
        events: mpsc::Receiver<Result<Recorded, SubscribeError>>,
        behind: Arc<AtomicU64>,
        reader: AbortHandle,
    ) -> Self {
        Self {
            events,
            behind,
            reader,
        }
    }

    /// The next event; waits for one. Cancel safe.
    pub async fn next(&mut self) -> Result<Recorded, SubscribeError> {
        self.events
            .recv()
            .await
            .unwrap_or(Err(SubscribeError::Ended))
    }

    /// How many more events were waiting when the newest one so far was fetched (a hint; it only ages).
    pub fn behind(&self) -> u64 {
        self.behind
            .load(Ordering::Relaxed)
            .saturating_add(self.events.len() as u64)
    }

    /// Whether everything that was in the log when it was last asked has been handed out.
    pub fn caught_up(&self) -> bool {
        self.behind() == 0
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
