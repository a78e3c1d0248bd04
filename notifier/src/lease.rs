//! Who leads: one notifier at a time, by an entry in the bucket `notifier` that only compare-and-set changes.
//!
//! The leader renews the entry every second. Whoever sees it unchanged for five takes it over; a leader that could not
//! renew it for three doubts itself and asks no provider any more. Time is measured by each process's own monotonic
//! clock, so a step of the wall clock makes nobody leader. What a sleeper writes all the same is refused by the versions
//! of the histories.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::kv::{self, Operation};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// The entry's key.
pub(crate) const KEY: &str = "leader";
/// How often a leader says that it is alive.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// How often the others look.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// One request to the bucket.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// A leader that was not heard of for so long is not one any more.
const TAKEOVER_AFTER: Duration = Duration::from_secs(5);
/// A leader that was not heard for so long does nothing it could regret.
const SELF_DOUBT_AFTER: Duration = Duration::from_secs(3);

/// When this process was last seen to lead.
#[derive(Debug, Default)]
pub(crate) struct Pulse(Mutex<Option<Instant>>);

impl Pulse {
    fn set(&self, at: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    fn silent_for(&self) -> Option<Duration> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|last| last.elapsed())
    }

    /// Whether nobody can have taken over yet. Asked by the clock and not by a flag: a process that was frozen has no
    /// chance to clear a flag before it goes on.
    pub(crate) fn is_felt(&self) -> bool {
        self.silent_for()
            .is_some_and(|silence| silence <= SELF_DOUBT_AFTER)
    }

    fn is_lost(&self) -> bool {
        self.silent_for()
            .is_none_or(|silence| silence >= TAKEOVER_AFTER)
    }
}

/// The entry: who leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Leader {
    /// For people: WAYBILL_INSTANCE; empty when nobody leads.
    instance: String,
    /// This run of that process.
    token: String,
    /// How often the lead has changed hands.
    epoch: u64,
}

/// This process's part in it.
pub(crate) struct Lease {
    bucket: kv::Store,
    instance: String,
    token: String,
    epoch: u64,
    /// The entry's revision, while it is ours.
    held: Option<u64>,
    /// The entry of somebody else, and since when it is unchanged.
    seen: Option<(u64, Instant)>,
}

impl Lease {
    pub(crate) fn new(bucket: kv::Store, instance: &str) -> Self {
        Self {
            bucket,
            instance: instance.to_owned(),
            token: Uuid::now_v7().simple().to_string(),
            epoch: 0,
            held: None,
            seen: None,
        }
    }

    /// Waits until we lead. While the broker is away nobody does.
    pub(crate) async fn acquire(&mut self, pulse: &Pulse) {
        loop {
            match timeout(REQUEST_TIMEOUT, self.try_acquire(pulse)).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::debug!(error, "the lead could not be looked at"),
                Err(_) => tracing::debug!("the lead could not be looked at in time"),
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn try_acquire(&mut self, pulse: &Pulse) -> Result<bool, String> {
        let sent = Instant::now();
        let entry = self.bucket.entry(KEY).await.map_err(text)?;
        let Some(entry) = entry.filter(|entry| entry.operation == Operation::Put) else {
            return Ok(self.claim(None, 0, sent, pulse).await);
        };
        let leader = read(&entry.value);
        let (token, epoch) =
            leader.map_or((String::new(), 0), |leader| (leader.token, leader.epoch));
        // Ours after all: the answer to what we wrote was lost.
        if token.is_empty() || token == self.token {
            return Ok(self.claim(Some(entry.revision), epoch, sent, pulse).await);
        }
        match self.seen {
            Some((revision, since)) if revision == entry.revision => {
                if since.elapsed() < TAKEOVER_AFTER {
                    return Ok(false);
                }
                Ok(self.claim(Some(entry.revision), epoch, sent, pulse).await)
            }
            _ => {
                self.seen = Some((entry.revision, Instant::now()));
                Ok(false)
            }
        }
    }

    async fn claim(
        &mut self,
        revision: Option<u64>,
        epoch: u64,
        sent: Instant,
        pulse: &Pulse,
    ) -> bool {
        self.epoch = epoch.saturating_add(1);
        let line = self.line(&self.token);
        let put = match revision {
            Some(revision) => self.bucket.update(KEY, line.into(), revision).await.ok(),
            None => self.bucket.create(KEY, line.into()).await.ok(),
        };
        self.seen = None;
        self.held = put;
        if put.is_some() {
            pulse.set(Some(sent));
            tracing::info!(
                instance = self.instance,
                epoch = self.epoch,
                "this notifier leads"
            );
        }
        put.is_some()
    }

    /// Renews the lead until it is lost.
    pub(crate) async fn keep(&mut self, pulse: &Pulse) {
        loop {
            sleep(BEAT_EVERY).await;
            match timeout(REQUEST_TIMEOUT, self.beat(pulse)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => {
                    tracing::warn!(instance = self.instance, "another notifier leads now");
                    break;
                }
                Ok(Err(error)) => tracing::warn!(error, "the lead could not be renewed"),
                Err(_) => tracing::warn!("the lead could not be renewed in time"),
            }
            if pulse.is_lost() {
                tracing::warn!(
                    instance = self.instance,
                    "the lead could not be renewed for {} s; somebody else may have it",
                    TAKEOVER_AFTER.as_secs()
                );
                break;
            }
        }
        self.held = None;
        pulse.set(None);
    }

    async fn beat(&mut self, pulse: &Pulse) -> Result<bool, String> {
        let sent = Instant::now();
        let Some(revision) = self.held else {
            return Ok(false);
        };
        let line = self.line(&self.token);
        if let Ok(renewed) = self.bucket.update(KEY, line.into(), revision).await {
            self.held = Some(renewed);
            pulse.set(Some(sent));
            return Ok(true);
        }
        // Refused, or the answer was lost: the entry itself tells.
        let entry = self.bucket.entry(KEY).await.map_err(text)?;
        let ours = entry
            .filter(|entry| read(&entry.value).is_some_and(|leader| leader.token == self.token));
        self.held = ours.map(|entry| entry.revision);
        Ok(self.held.is_some())
    }

    /// Gives the lead back, so that nobody has to wait for our silence.
    pub(crate) async fn release(&mut self, pulse: &Pulse) {
        pulse.set(None);
        let Some(revision) = self.held.take() else {
            return;
        };
        let nobody = self.line("");
        let given = timeout(
            REQUEST_TIMEOUT,
            self.bucket.update(KEY, nobody.into(), revision),
        );
        if !matches!(given.await, Ok(Ok(_))) {
            tracing::info!("the lead could not be given back; others notice our silence");
        }
    }

    fn line(&self, token: &str) -> String {
        let leader = Leader {
            instance: self.instance.clone(),
            token: token.to_owned(),
            epoch: self.epoch,
        };
        serde_json::to_string(&leader).unwrap_or_default()
    }
}

/// An entry that nobody can read is nobody's.
fn read(value: &[u8]) -> Option<Leader> {
    serde_json::from_slice(value).ok()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_was_silent_for_too_long_doubts_itself_at_once() {
        let pulse = Pulse::default();
        assert!(!pulse.is_felt() && pulse.is_lost());
        pulse.set(Some(Instant::now()));
        assert!(pulse.is_felt() && !pulse.is_lost());
        pulse.set(Instant::now().checked_sub(SELF_DOUBT_AFTER * 2));
        assert!(!pulse.is_felt() && pulse.is_lost());
    }
}
