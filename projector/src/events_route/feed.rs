//! What all live readers of one process share: how many there may be, how long each may stay, and their common end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use service_kit::{Problem, Shutdown};

/// The limits of live reading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Readers of one process at one moment; each of the log's has a consumer of its own at the broker.
    pub readers_max: usize,
    /// Events that wait for a reader besides those on the socket.
    pub waiting_events_max: usize,
    /// A reader that takes nothing for so long is dropped.
    pub slow_max: Duration,
    /// A reader is sent away after so long; it comes back with a token that is still good.
    pub stay_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            readers_max: 32,
            waiting_events_max: 256,
            slow_max: Duration::from_secs(10),
            stay_max: Duration::from_secs(60 * 60),
        }
    }
}

/// The live readers of this process.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) limits: Limits,
    places: Arc<Semaphore>,
    closing: watch::Sender<bool>,
}

impl Default for Feed {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Feed {
    /// A feed within other limits.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            places: Arc::new(Semaphore::new(limits.readers_max)),
            closing: watch::Sender::new(false),
        }
    }

    /// A place for one reader, given back when it is dropped.
    pub(crate) fn enter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Problem::busy(format!(
                "{} live readers follow this process already",
                self.limits.readers_max
            ))
        })
    }

    /// Turns true when every reader has to go.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// Sends every reader away when the shutdown begins: an endless answer would hold it up.
    pub(crate) async fn close_at(&self, shutdown: &Shutdown) {
        shutdown.begun().await;
        self.closing.send_replace(true);
    }
}
