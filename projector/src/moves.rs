//! Tells waiting queries of this process that some projection has moved; those of other processes look by themselves.

use std::time::Duration;

use tokio::sync::watch;

/// Woken after each commit.
#[derive(Debug, Clone)]
pub struct Moves {
    count: watch::Sender<u64>,
}

impl Default for Moves {
    fn default() -> Self {
        Self {
            count: watch::Sender::new(0),
        }
    }
}

impl Moves {
    /// A projection has committed.
    pub(crate) fn announce(&self) {
        self.count
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Begins to listen; moves from now on are not missed.
    pub(crate) fn listen(&self) -> Listener {
        Listener(self.count.subscribe())
    }
}

/// Waits for moves.
#[derive(Debug)]
pub(crate) struct Listener(watch::Receiver<u64>);

impl Listener {
    /// Returns after a move in this process, or after `at_most`, when it is time to look at the database.
    pub async fn moved(&mut self, at_most: Duration) {
        // Neither outcome matters: the caller looks at the checkpoint either way.
        let _outcome = tokio::time::timeout(at_most, self.0.changed()).await;
    }
}
