//! The log's twin in memory: the same promises as the broker's, for tests, and gone with the process.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use event_schema::{Position, Recorded, Subject, Timestamp, Version};

use crate::store::{
    self, AppendError, Appended, EventStore, Freshness, Group, History, LoadError, LogEnd,
    LogIdentity, Seen, Waiting,
};
use crate::subscription::{BUFFERED_EVENTS_MAX, SubscribeError, Subscription};

/// Most events a follower takes out of the log at once.
const PAGE_EVENTS: usize = 256;

/// A log in memory. Clones share it, as processes share a broker.
#[derive(Debug, Clone)]
pub struct InMemoryStore {
    log: Arc<Mutex<Log>>,
    end: watch::Sender<Position>,
    identity: LogIdentity,
}

#[derive(Debug, Default)]
struct Log {
    events: Vec<Recorded>,
    histories: HashMap<Subject, Vec<Position>>,
    snapshots: BTreeMap<String, Bytes>,
}

impl Log {
    fn head(&self, subject: &Subject) -> Option<(Version, Position)> {
        let history = self.histories.get(subject)?;
        Some((Version(history.len() as u64), *history.last()?))
    }

    fn at(&self, position: Position) -> Option<&Recorded> {
        self.events
            .get(usize::try_from(position.0.checked_sub(1)?).ok()?)
    }

    fn after(&self, position: Position) -> &[Recorded] {
        let start = usize::try_from(position.0)
            .unwrap_or(usize::MAX)
            .min(self.events.len());
        &self.events[start..]
    }

    fn expect(&self, subject: &Subject, expected: Version, seen: Seen) -> Result<(), AppendError> {
        let (actual, at) = self.head(subject).unwrap_or_default();
        // The same version elsewhere is another history than the one that was decided on.
        let elsewhere = expected != Version::NONE
            && match seen {
                Seen::Version => false,
                Seen::At(seen) => seen != at,
                Seen::OnItsWay(event) => self.at(at).is_none_or(|last| last.event_id != event),
            };
        if actual == expected && !elsewhere {
            Ok(())
        } else {
            Err(AppendError::Conflict {
                subject: subject.clone(),
                expected,
                actual,
            })
        }
    }

    fn append(&mut self, group: Group) -> Result<Appended, AppendError> {
        for part in &group.parts {
            self.expect(&part.subject, part.expected, part.seen)?;
        }
        for (subject, version, seen) in &group.conditions {
            self.expect(subject, *version, *seen)?;
        }
        let mut positions = Vec::with_capacity(group.parts.len());
        for part in group.parts {
            let mut version = part.expected;
            for event in part.events {
                version = version.after(1);
                let position = Position(self.events.len() as u64 + 1);
                self.events.push(Recorded {
                    position,
                    recorded_at: Timestamp::now(),
                    subject: part.subject.clone(),
                    version,
                    event_id: event.event_id,
                    event_type: event.event_type.to_owned(),
                    schema_version: event.schema_version,
                    metadata: group.metadata.clone(),
                    saga: event.saga,
                    payload: event.payload,
                });
                self.histories
                    .entry(part.subject.clone())
                    .or_default()
                    .push(position);
            }
            positions.push((part.subject, version, Position(self.events.len() as u64)));
        }
        Ok(Appended {
            last: Position(self.events.len() as u64),
            positions,
        })
    }
}

impl InMemoryStore {
    /// An empty log.
    pub fn new() -> Self {
        let identity = LogIdentity {
            stream: "EVENTS".into(),
            created: Timestamp::now(),
        };
        Self {
            log: Arc::default(),
            end: watch::Sender::new(Position(0)),
            identity,
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // A writer that panicked left at most a whole number of events behind.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for InMemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a literal subject matches a pattern with `*` and `>`.
pub(crate) fn matches(pattern: &str, subject: &str) -> bool {
    let mut wanted = pattern.split('.');
    let mut tokens = subject.split('.');
    loop {
        match (wanted.next(), tokens.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(want), Some(token)) if want == token => {}
            _ => return false,
        }
    }
}

#[async_trait]
impl EventStore for InMemoryStore {
    async fn submit(&self, group: Group) -> Result<Waiting, AppendError> {
        store::check(&group)?;
        let (answer, waiting) = Waiting::channel();
        let appended = self.log().append(group);
        if let Ok(appended) = &appended {
            let last = appended.last;
            self.end.send_modify(|end| *end = last.max(*end));
        }
        // The caller holds the other end of the channel.
        drop(answer.send(appended));
        Ok(waiting)
    }

    async fn load(
        &self,
        subject: &Subject,
        after: Version,
        _seen: Option<Position>,
        freshness: Freshness,
    ) -> Result<History, LoadError> {
        let log = self.log();
        if let Freshness::AtLeast(position) = freshness
            && position.0 > log.events.len() as u64
        {
            return Err(LoadError::NotReached(position));
        }
        let skip = usize::try_from(after.0).unwrap_or(usize::MAX);
        let positions = log.histories.get(subject).map_or(&[][..], Vec::as_slice);
        let events = positions
            .iter()
            .skip(skip)
            .filter_map(|position| log.at(*position).cloned())
            .collect();
        Ok(History {
            events,
            leader: Some(log.head(subject)),
        })
    }

    async fn head(&self, subject: &Subject) -> Result<Option<(Version, Position)>, LoadError> {
        Ok(self.log().head(subject))
    }

    async fn heads(
        &self,
        subjects: &[Subject],
    ) -> Result<Vec<Option<(Version, Position)>>, LoadError> {
        let log = self.log();
        Ok(subjects.iter().map(|subject| log.head(subject)).collect())
    }

    async fn read(
        &self,
        after: Position,
        limit: usize,
        filter: Option<&str>,
    ) -> Result<Vec<Recorded>, LoadError> {
        let log = self.log();
        let wanted =
            |event: &&Recorded| filter.is_none_or(|filter| matches(filter, event.subject.as_str()));
        Ok(log
            .after(after)
            .iter()
            .filter(wanted)
            .take(limit)
            .cloned()
            .collect())
    }

    async fn end(&self) -> Result<LogEnd, LoadError> {
        Ok(LogEnd {
            position: Position(self.log().events.len() as u64),
        })
    }

    async fn identity(&self) -> Result<LogIdentity, LoadError> {
        Ok(self.identity.clone())
    }

    async fn at(&self, position: Position) -> Result<Option<Recorded>, LoadError> {
        Ok(self.log().at(position).cloned())
    }

    async fn subscribe(
        &self,
        after: Position,
        filters: &[&str],
    ) -> Result<Subscription, LoadError> {
        let filters: Vec<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let (events, receiver) = mpsc::channel(BUFFERED_EVENTS_MAX);
        let waiting = {
            let log = self.log();
            log.after(after)
                .iter()
                .filter(|event| wanted(&filters, event))
                .count() as u64
        };
        let behind = Arc::new(AtomicU64::new(waiting));
        let (store, left) = (self.clone(), Arc::clone(&behind));
        let reader = tokio::spawn(async move {
            let mut reached = after;
            let mut end = store.end.subscribe();
            let last = *end.borrow();
            if reached > last {
                // The last word; a reader that is gone does not need it.
                drop(
                    events
                        .send(Err(SubscribeError::Rewound { reached, end: last }))
                        .await,
                );
                return;
            }
            loop {
                let page: Vec<Recorded> = store
                    .log()
                    .after(reached)
                    .iter()
                    .take(PAGE_EVENTS)
                    .cloned()
                    .collect();
                let rest = {
                    let log = store.log();
                    let seen = Position(reached.0.saturating_add(page.len() as u64));
                    log.after(seen)
                        .iter()
                        .filter(|event| wanted(&filters, event))
                        .count() as u64
                };
                let mut here = page.iter().filter(|event| wanted(&filters, event)).count() as u64;
                for event in page {
                    reached = event.position;
                    if !wanted(&filters, &event) {
                        continue;
                    }
                    let Ok(place) = events.reserve().await else {
                        return;
                    };
                    here -= 1;
                    left.store(rest + here, Ordering::Relaxed);
                    place.send(Ok(event));
                }
                if end.wait_for(|end| *end > reached).await.is_err() {
                    return;
                }
            }
        });
        Ok(Subscription::new(receiver, behind, reader.abort_handle()))
    }

    async fn snapshot(&self, key: &str) -> Result<Option<Bytes>, LoadError> {
        Ok(self.log().snapshots.get(key).cloned())
    }

    async fn put_snapshot(&self, key: &str, value: Bytes) {
        self.log().snapshots.insert(key.to_owned(), value);
    }
}

/// No pattern at all means everything.
fn wanted(filters: &[String], event: &Recorded) -> bool {
    filters.is_empty()
        || filters
            .iter()
            .any(|filter| matches(filter, event.subject.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_the_broker_does() {
        for (pattern, subject, expected) in [
            ("evt.>", "evt.order.00.x", true),
            ("evt.>", "evt", false),
            ("evt.*.00.*", "evt.order.00.x", true),
            ("evt.*", "evt.order.00.x", false),
            ("evt.order.00.x", "evt.order.00.y", false),
        ] {
            assert_eq!(matches(pattern, subject), expected, "{pattern} {subject}");
        }
    }
}
