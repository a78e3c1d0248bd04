//! Who leads a stream on the cluster, and what becomes of him.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use dev_servers::NatsServer;
use event_store::topology::EVENTS;
use testkit::within;

use crate::stage::{Broker, Stage, blocking};

/// How long a leader stays dead: longer than it takes the others to elect another one.
pub const DEAD_FOR: Duration = Duration::from_secs(6);

impl Stage {
    /// The member that leads the stream of events.
    pub async fn leader(&self) -> usize {
        let context = jetstream::new(self.client().await);
        let name = within("the stream has a leader", || async {
            let stream = context.get_stream(EVENTS).await.ok()?;
            stream.cached_info().cluster.as_ref()?.leader.clone()
        })
        .await;
        // Members are called n1, n2 and so on.
        let number: usize = name.trim_start_matches('n').parse().unwrap();
        number - 1
    }

    /// Kills the leader and starts it again later; ends when the cluster is whole again. Returns who it was.
    pub async fn leader_dies_and_comes_back(&self) -> usize {
        let victim = self.leader().await;
        self.broker.member_dies(victim).await;
        tokio::time::sleep(DEAD_FOR).await;
        self.broker.member_comes_back(victim).await;
        victim
    }

    /// Freezes the leader and wakes it later: it believes for a while that it still leads.
    pub async fn leader_sleeps(&self) -> usize {
        let victim = self.leader().await;
        self.broker.member(victim, |server| server.pause()).await;
        tokio::time::sleep(DEAD_FOR).await;
        self.broker.member(victim, |server| server.resume()).await;
        self.broker.healthy().await;
        victim
    }
}

impl Broker {
    pub async fn member_dies(&self, number: usize) {
        self.member(number, |server| server.kill9()).await;
    }

    /// Ends when the cluster is whole again.
    pub async fn member_comes_back(&self, number: usize) {
        self.member(number, |server| server.restart().unwrap())
            .await;
        self.healthy().await;
    }

    async fn member(&self, number: usize, work: impl FnOnce(&NatsServer) + Send + 'static) {
        let cluster = Arc::clone(self.cluster());
        blocking(move || work(&cluster.servers()[number])).await;
    }

    /// Waits until every member is current.
    pub async fn healthy(&self) {
        let cluster = Arc::clone(self.cluster());
        blocking(move || cluster.wait_until_healthy().unwrap()).await;
    }
}
