//! Reads in the log what becomes of each notification.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use event_schema::notification::Event;
use event_schema::{EventSet as _, Position, Timestamp};
use event_store::{EventStore, Subscription};
use tokio::time::{Instant, timeout_at};

use crate::bench::times::Times;

pub struct Follower {
    subscription: Subscription,
}

/// What became of all of them.
pub struct Drained {
    /// How many ended how.
    pub statuses: BTreeMap<&'static str, u64>,
    /// Calls in all.
    pub attempts: u64,
    /// From the first attempt to the end.
    pub times: Times,
    first: Option<Timestamp>,
    /// When each of them ended, in the order of the log.
    ends: Vec<Timestamp>,
}

/// Of a hundred, those whose rate is told: what fails again and again waits for minutes, which says nothing of the
/// machine.
const COUNTED_OF_100: usize = 99;

impl Drained {
    pub fn settled(&self) -> u64 {
        self.statuses.values().sum()
    }

    pub fn sent(&self) -> u64 {
        self.statuses.get("sent").copied().unwrap_or(0)
    }

    /// Notifications a second, from the first attempt of all until 99 in 100 had ended.
    pub fn rate(&self) -> f64 {
        let counted = (self.ends.len() * COUNTED_OF_100).div_ceil(100);
        match counted.checked_sub(1).and_then(|last| self.ends.get(last)) {
            Some(last) => counted as f64 / self.since_first(*last).as_secs_f64().max(1e-3),
            None => 0.0,
        }
    }

    /// From the first attempt of all to the last end.
    pub fn took(&self) -> Duration {
        self.ends
            .last()
            .map_or(Duration::ZERO, |last| self.since_first(*last))
    }

    fn since_first(&self, end: Timestamp) -> Duration {
        self.first
            .map_or(Duration::ZERO, |first| between(first, end))
    }
}

fn between(first: Timestamp, last: Timestamp) -> Duration {
    Duration::try_from(last.duration_since(first)).unwrap_or_default()
}

impl Follower {
    /// Follows what comes after a position.
    pub async fn after(store: Arc<dyn EventStore>, end: Position) -> anyhow::Result<Self> {
        let subscription = store.subscribe(end, &["evt.notification.>"]).await?;
        Ok(Self { subscription })
    }

    /// Waits until so many have ended.
    pub async fn settled(&mut self, count: u32, limit: Duration) -> anyhow::Result<Drained> {
        let until = Instant::now() + limit;
        let mut begun = HashMap::new();
        let mut drained = Drained {
            statuses: BTreeMap::new(),
            attempts: 0,
            times: Times::new()?,
            first: None,
            ends: Vec::new(),
        };
        while drained.settled() < u64::from(count) {
            let Ok(next) = timeout_at(until, self.subscription.next()).await else {
                bail!(
                    "{} of {count} notifications were settled within {} s",
                    drained.settled(),
                    limit.as_secs()
                );
            };
            let event = next.context("the log cannot be followed any more")?;
            let at = event.metadata.occurred_at;
            match Event::decode(&event.event_type, event.schema_version, &event.payload)? {
                Event::Attempted(attempted) => {
                    drained.attempts += 1;
                    drained.first.get_or_insert(at);
                    begun.entry(attempted.delivery_id).or_insert(at);
                }
                Event::Settled(settled) => {
                    *drained.statuses.entry(settled.status.as_str()).or_default() += 1;
                    drained.ends.push(at);
                    if let Some(first) = begun.remove(&settled.delivery_id) {
                        drained.times.record(between(first, at));
                    }
                }
                Event::Intended(_) | Event::AttemptEnded(_) => {}
            }
        }
        Ok(drained)
    }
}
