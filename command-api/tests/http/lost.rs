//! A log that loses a group when it is told to: nothing of it is stored, and the writer does not learn why.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use event_schema::{Position, Recorded, Subject, Version};
use event_store::{
    AppendError, EventStore, Freshness, Group, History, InMemoryStore, LoadError, LogEnd,
    LogIdentity, Subscription, Waiting,
};

#[derive(Default)]
pub struct LosingStore {
    inner: InMemoryStore,
    lose: AtomicBool,
}

impl LosingStore {
    pub fn lose_next(&self) {
        self.lose.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl EventStore for LosingStore {
    async fn submit(&self, group: Group) -> Result<Waiting, AppendError> {
        if self.lose.swap(false, Ordering::SeqCst) {
            return Err(AppendError::Unavailable("lost on the way".into()));
        }
        self.inner.submit(group).await
    }

    async fn load(
        &self,
        subject: &Subject,
        after: Version,
        seen: Option<Position>,
        freshness: Freshness,
    ) -> Result<History, LoadError> {
        self.inner.load(subject, after, seen, freshness).await
    }

    async fn head(&self, subject: &Subject) -> Result<Option<(Version, Position)>, LoadError> {
        self.inner.head(subject).await
    }

    async fn heads(
        &self,
        subjects: &[Subject],
    ) -> Result<Vec<Option<(Version, Position)>>, LoadError> {
        self.inner.heads(subjects).await
    }

    async fn read(
        &self,
        after: Position,
        limit: usize,
        filter: Option<&str>,
    ) -> Result<Vec<Recorded>, LoadError> {
        self.inner.read(after, limit, filter).await
    }

    async fn end(&self) -> Result<LogEnd, LoadError> {
        self.inner.end().await
    }

    async fn identity(&self) -> Result<LogIdentity, LoadError> {
        self.inner.identity().await
    }

    async fn at(&self, position: Position) -> Result<Option<Recorded>, LoadError> {
        self.inner.at(position).await
    }

    async fn subscribe(
        &self,
        after: Position,
        filters: &[&str],
    ) -> Result<Subscription, LoadError> {
        self.inner.subscribe(after, filters).await
    }

    async fn snapshot(&self, key: &str) -> Result<Option<Bytes>, LoadError> {
        self.inner.snapshot(key).await
    }

    async fn put_snapshot(&self, key: &str, value: Bytes) {
        self.inner.put_snapshot(key, value).await;
    }
}
