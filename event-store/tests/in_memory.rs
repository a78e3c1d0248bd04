//! The twin in memory, held to the suite that every store has to pass.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;

use event_store::conformance::Place;
use event_store::{EventStore, InMemoryStore};

struct Memory(InMemoryStore);

#[async_trait::async_trait]
impl Place for Memory {
    async fn open(&self) -> Arc<dyn EventStore> {
        Arc::new(self.0.clone())
    }

    async fn restart(&self) {}
}

async fn place() -> Memory {
    Memory(InMemoryStore::new())
}

event_store::conformance_suite!(tests place);
