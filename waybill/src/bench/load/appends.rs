//! What commands notice when others load what is in nobody's memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_trait::async_trait;
use domain::inventory::Inventory;
use event_schema::ids::CommandId;
use event_schema::{Actor, Metadata, Timestamp};
use event_store::{EventStore, Executor, Stop, Work};
use futures::future::try_join_all;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use super::{Restarts, load};
use crate::bench::race::{Contestant, Sample};
use crate::bench::raw::a_receipt;
use crate::bench::times::Times;

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
        try_join_all(
            self.products
                .iter()
                .map(|product| send(&self.executor, *product)),
        )
        .await?;
        let loading = self.beside.as_ref().map(Loader::start);
        let sent = trickle(
            &self.executor,
            &self.products,
            self.rate,
            about.min(ROUND_MAX),
        )
        .await;
        if let Some(loading) = loading {
            if loading.is_finished() {
                loading.await?.context("loading beside the appends")?;
            } else {
                loading.abort();
            }
        }
        sent
    }
}

async fn trickle(
    executor: &Executor,
    products: &[Uuid],
    rate: u32,
    time: Duration,
) -> anyhow::Result<Sample> {
    let (begun, mut times) = (Instant::now(), Times::new()?);
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    // A late tick is made up for at once, and counts from when it was due.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let mut sending: JoinSet<anyhow::Result<Duration>> = JoinSet::new();
    for product in products.iter().copied().cycle() {
        let due = ticks.tick().await.into_std();
        if due.saturating_duration_since(begun) >= time {
            break;
        }
        let executor = executor.clone();
        sending.spawn(async move {
            send(&executor, product).await?;
            Ok(due.elapsed())
        });
        while let Some(ended) = sending.try_join_next() {
            times.record(ended??);
        }
    }
    while let Some(ended) = sending.join_next().await {
        times.record(ended??);
    }
    let commands = times.percentiles().map_or(0, |told| told.samples);
    Ok(Sample {
        took: begun.elapsed(),
        amounts: vec![("commands", commands)],
        times: Some(times),
    })
}

async fn send(executor: &Executor, product: Uuid) -> anyhow::Result<()> {
    let metadata = Metadata::new(CommandId(Uuid::now_v7()), Actor::system(), Timestamp::now());
    let decide = |work: &mut Work| {
        work.decide::<Inventory>(product, a_receipt())?;
        Ok::<_, Stop<domain::inventory::Rejection>>(())
    };
    executor.execute(metadata, None, decide).await?;
    Ok(())
}
