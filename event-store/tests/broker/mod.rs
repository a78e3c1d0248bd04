//! A real nats-server of a test's own, with the topology on it.

use std::sync::Arc;

use async_nats::Client;
use dev_servers::{NatsOptions, NatsServer};
use event_store::conformance::Place;
use event_store::jetstream::Wire;
use event_store::{EventStore, JetStreamStore, topology};

pub struct Broker {
    pub server: Arc<NatsServer>,
}

impl Broker {
    /// A server with nothing on it.
    pub async fn bare(change: impl FnOnce(NatsOptions) -> NatsOptions + Send + 'static) -> Self {
        let start = tokio::task::spawn_blocking(move || NatsServer::temporary_with(change));
        Self {
            server: Arc::new(start.await.unwrap().expect("nats-server starts")),
        }
    }

    /// A server that answers before the disk has it: enough for everything but power loss, and quick.
    pub async fn start() -> Self {
        let broker = Self::bare(NatsOptions::with_default_sync).await;
        topology::migrate(&broker.client().await, 1)
            .await
            .expect("migrates");
        broker
    }

    pub async fn client(&self) -> Client {
        async_nats::connect(self.server.url())
            .await
            .expect("connects")
    }

    pub async fn store(&self) -> JetStreamStore {
        JetStreamStore::connect(self.client().await)
            .await
            .expect("opens")
    }

    /// A process whose batches go through something that loses or delays them.
    #[allow(dead_code, reason = "not every test file injects faults")]
    pub async fn through(
        &self,
        wire: impl FnOnce(Arc<dyn Wire>) -> Arc<dyn Wire>,
    ) -> Arc<dyn EventStore> {
        Arc::new(
            JetStreamStore::connect_through(self.client().await, wire)
                .await
                .expect("opens"),
        )
    }

    #[allow(dead_code, reason = "not every test file restarts its server")]
    pub async fn bring_back(&self) {
        let server = Arc::clone(&self.server);
        tokio::task::spawn_blocking(move || server.restart())
            .await
            .unwrap()
            .expect("restarts");
    }
}

#[async_trait::async_trait]
impl Place for Broker {
    async fn open(&self) -> Arc<dyn EventStore> {
        Arc::new(self.store().await)
    }

    async fn restart(&self) {
        self.bring_back().await;
    }
}
