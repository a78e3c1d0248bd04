//! The log as it would be if nobody had ever put a state aside.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use event_schema::{Position, Recorded, Subject, Version};
use event_store::{
    AppendError, EventStore, Freshness, Group, History, LoadError, LogEnd, LogIdentity,
    Subscription, Waiting,
};

/// Everything but snapshots is another store's.
pub struct WithoutSnapshots(Arc<dyn EventStore>);

impl WithoutSnapshots {
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl EventStore for WithoutSnapshots {
    async fn submit(&self, group: Group) -> Result<Waiting, AppendError> {
        self.0.submit(group).await
    }

    async fn load(
        &self,
        subject: &Subject,
        after: Version,
        seen: Option<Position>,
        freshness: Freshness,
    ) -> Result<History, LoadError> {
        self.0.load(subject, after, seen, freshness).await
    }

    async fn load_short(
        &self,
        subject: &Subject,
        freshness: Freshness,
        events_max: u64,
    ) -> Result<Option<History>, LoadError> {
        self.0.load_short(subject, freshness, events_max).await
    }

    async fn head(&self, subject: &Subject) -> Result<Option<(Version, Position)>, LoadError> {
        self.0.head(subject).await
    }

    async fn heads(
        &self,
        subjects: &[Subject],
    ) -> Result<Vec<Option<(Version, Position)>>, LoadError> {
        self.0.heads(subjects).await
    }

    async fn read(
        &self,
        after: Position,
        limit: usize,
        filter: Option<&str>,
    ) -> Result<Vec<Recorded>, LoadError> {
        self.0.read(after, limit, filter).await
    }

    async fn end(&self) -> Result<LogEnd, LoadError> {
        self.0.end().await
    }

    async fn identity(&self) -> Result<LogIdentity, LoadError> {
        self.0.identity().await
    }

    async fn at(&self, position: Position) -> Result<Option<Recorded>, LoadError> {
        self.0.at(position).await
    }

    async fn subscribe(
        &self,
        after: Position,
        filters: &[&str],
    ) -> Result<Subscription, LoadError> {
        self.0.subscribe(after, filters).await
    }

    async fn snapshot(&self, _: &str) -> Result<Option<Bytes>, LoadError> {
        Ok(None)
    }

    async fn put_snapshot(&self, _: &str, _: Bytes) {}
}
