//! A log that stops a process at a chosen point: right before an event of some type is sent, or right after it is stored.
//! From then on nothing passes, as when the process has died there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use event_schema::{Position, Recorded, Subject, Version};
use event_store::{
    AppendError, EventStore, Freshness, Group, History, LoadError, LogEnd, LogIdentity, LogRewound,
    Subscription, Waiting,
};

/// Where a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brink {
    Before(&'static str),
    After(&'static str),
}

pub struct Brinkman {
    store: Arc<dyn EventStore>,
    brink: Option<Brink>,
    reached: Arc<AtomicBool>,
}

impl Brinkman {
    pub fn new(store: Arc<dyn EventStore>, brink: Option<Brink>, reached: Arc<AtomicBool>) -> Self {
        Self {
            store,
            brink,
            reached,
        }
    }

    fn is_dead(&self) -> bool {
        self.reached.load(Ordering::SeqCst)
    }

    async fn die(&self) -> ! {
        self.reached.store(true, Ordering::SeqCst);
        std::future::pending().await
    }
}

fn holds(group: &Group, event_type: &str) -> bool {
    let mut events = group.parts.iter().flat_map(|part| &part.events);
    events.any(|event| event.event_type == event_type)
}

#[async_trait]
impl EventStore for Brinkman {
    async fn submit(&self, group: Group) -> Result<Waiting, AppendError> {
        if self.is_dead() {
            self.die().await;
        }
        match self.brink {
            Some(Brink::Before(event_type)) if holds(&group, event_type) => self.die().await,
            Some(Brink::After(event_type)) if holds(&group, event_type) => {
                self.store.submit(group).await?.await?;
                self.die().await
            }
            _ => self.store.submit(group).await,
        }
    }

    async fn load(
        &self,
        subject: &Subject,
        after: Version,
        seen: Option<Position>,
        freshness: Freshness,
    ) -> Result<History, LoadError> {
        self.store.load(subject, after, seen, freshness).await
    }

    async fn head(&self, subject: &Subject) -> Result<Option<(Version, Position)>, LoadError> {
        self.store.head(subject).await
    }

    async fn heads(
        &self,
        subjects: &[Subject],
    ) -> Result<Vec<Option<(Version, Position)>>, LoadError> {
        self.store.heads(subjects).await
    }

    async fn read(
        &self,
        after: Position,
        limit: usize,
        filter: Option<&str>,
    ) -> Result<Vec<Recorded>, LoadError> {
        self.store.read(after, limit, filter).await
    }

    async fn end(&self) -> Result<LogEnd, LoadError> {
        self.store.end().await
    }

    async fn identity(&self) -> Result<LogIdentity, LoadError> {
        self.store.identity().await
    }

    async fn is_ours(&self, doubt: bool) -> Result<(), LoadError> {
        self.store.is_ours(doubt).await
    }

    async fn rewound(&self) -> LogRewound {
        self.store.rewound().await
    }

    async fn at(&self, position: Position) -> Result<Option<Recorded>, LoadError> {
        self.store.at(position).await
    }

    async fn subscribe(
        &self,
        after: Position,
        filters: &[&str],
    ) -> Result<Subscription, LoadError> {
        self.store.subscribe(after, filters).await
    }

    async fn snapshot(&self, key: &str) -> Result<Option<Bytes>, LoadError> {
        self.store.snapshot(key).await
    }

    async fn put_snapshot(&self, key: &str, value: Bytes) {
        self.store.put_snapshot(key, value).await;
    }
}
