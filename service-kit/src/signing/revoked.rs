//! Sessions whose access tokens are void before their time. A token lives for minutes, so the list stays short: an entry
//! is dropped when no token of it can be alive.

use std::collections::HashMap;
use std::sync::RwLock;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::shutdown::Shutdown;
use crate::time::Clock;
use crate::vault::Vault;

/// Longer than any access token of a session lives.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// How soon other processes hear that a session has ended.
const POLL_PERIOD: Duration = Duration::from_secs(1);
/// Clocks of replicas differ, and so do the moments of transactions; what ended so long before the last look is asked for
/// again.
const OVERLAP: Duration = Duration::from_secs(30);

/// The list of one process.
#[derive(Debug, Default)]
pub struct Revoked {
    sessions: RwLock<HashMap<Uuid, Timestamp>>,
}

impl Revoked {
    /// Adds sessions that ended.
    pub fn add(&self, sessions: impl IntoIterator<Item = Uuid>, at: Timestamp) {
        // A poisoned lock has a whole map in it all the same.
        let mut known = self
            .sessions
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for session in sessions {
            known.entry(session).or_insert(at);
        }
    }

    /// Whether the session has ended.
    #[must_use]
    pub fn contains(&self, session: Uuid) -> bool {
        self.sessions
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .contains_key(&session)
    }

    fn forget(&self, now: Timestamp) {
        let until = earlier(now, KEPT);
        self.sessions
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .retain(|_, at| *at > until);
    }

    /// Hears of sessions that other processes ended, until the shutdown. While the database is away nothing is heard, and
    /// tokens live out their minutes.
    pub async fn watch(&self, vault: &Vault, clock: &Clock, shutdown: &Shutdown) {
        let mut since = earlier(clock.now(), KEPT);
        loop {
            let now = clock.now();
            match vault.ended_since(since).await {
                Ok(ended) => {
                    for (session, at) in ended {
                        self.add([session], at);
                    }
                    since = earlier(now, OVERLAP);
                    self.forget(now);
                }
                Err(error) => tracing::debug!(%error, "ended sessions cannot be asked for"),
            }
            tokio::select! {
                () = tokio::time::sleep(POLL_PERIOD) => {}
                () = shutdown.begun() => return,
            }
        }
    }
}

fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_sub(SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX))
        .unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_stays_on_the_list_as_long_as_a_token_of_it_can_live() {
        let revoked = Revoked::default();
        let (session, at) = (
            Uuid::from_u128(1),
            Timestamp::from_second(1_800_000_000).unwrap(),
        );
        revoked.add([session], at);
        revoked.forget(at + SignedDuration::from_mins(14));
        assert!(revoked.contains(session));
        revoked.forget(at + SignedDuration::from_mins(16));
        assert!(!revoked.contains(session));
    }
}
