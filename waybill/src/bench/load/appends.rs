//! What commands notice when others load what is in nobody's memory.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use event_store::{EventStore, Executor};
use futures::future::try_join_all;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{Restarts, load};
use crate::bench::race::{Contestant, Sample};
use crate::bench::trickle::{Trickled, receive, trickle};

/// Aggregates that the commands go to, in turn.
const PRODUCTS: usize = 200;
/// Longer rounds tell no more.
const ROUND_MAX: Duration = Duration::from_secs(20);

/// Commands at a steady rate, each counted from when it was due.
pub struct Appends {
    executor: Executor,
    products: Vec<Uuid>,
    rate: u32,
    beside: Option<Loader>,
    broker: Restarts,
}

/// Loads aggregates one after the other, each time as a process that has just started.
#[derive(Clone)]
pub struct Loader {
    pub store: Arc<dyn EventStore>,
    pub all: Arc<[(Uuid, u32)]>,
}

impl Appends {
    pub fn new(
        store: &Arc<dyn EventStore>,
        rate: u32,
        beside: Option<Loader>,
        broker: Restarts,
    ) -> Self {
        Self {
            executor: Executor::new(Arc::clone(store)),
            products: (0..PRODUCTS).map(|_| Uuid::now_v7()).collect(),
            rate,
            beside,
            broker,
        }
    }
}

impl Loader {
    /// Until it is stopped.
    fn start(&self) -> JoinHandle<anyhow::Result<()>> {
        let Self { store, all } = self.clone();
        tokio::spawn(async move {
            loop {
                let executor = Executor::new(Arc::clone(&store));
                for (id, events) in &*all {
                    load(&executor, *id, *events).await?;
                }
            }
        })
    }
}

#[async_trait]
impl Contestant for Appends {
    async fn run(&mut self, about: Duration) -> anyhow::Result<Sample> {
        self.broker.restart().await?;
        let products = self.products.iter();
        try_join_all(products.map(|product| receive(&self.executor, *product))).await?;
        let loading = self.beside.as_ref().map(Loader::start);
        let mut products = self.products.iter().copied().cycle();
        let send = |_, _| {
            let (executor, product) = (self.executor.clone(), products.next().unwrap_or_default());
            async move { receive(&executor, product).await.map(drop) }
        };
        let sent = trickle(self.rate, about.min(ROUND_MAX), send).await;
        if let Some(loading) = loading {
            if loading.is_finished() {
                loading.await?.context("loading beside the appends")?;
            } else {
                loading.abort();
            }
        }
        let Trickled {
            commands,
            took,
            times,
        } = sent?;
        Ok(Sample {
            took,
            amounts: vec![("commands", commands)],
            times: Some(times),
        })
    }
}
