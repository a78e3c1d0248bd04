//! Commands as services run them: load (warm), decide, append as one group, answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::inventory::Inventory;
use event_schema::ids::CommandId;
use event_schema::{Actor, Metadata, Timestamp};
use event_store::{Executor, Stop, Work};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::bench::race::{Contestant, Sample};
use crate::bench::raw::a_receipt;
use crate::bench::times::Times;

/// Callers that each send one command after the other.
pub struct Commands {
    executor: Executor,
    products: Arc<[Uuid]>,
    callers: usize,
    events: usize,
}

impl Commands {
    /// Each caller has a product of its own, as far as there are products.
    pub fn new(executor: Executor, products: Arc<[Uuid]>, callers: usize, events: usize) -> Self {
        Self {
            executor,
            products,
            callers,
            events,
        }
    }
}

#[async_trait]
impl Contestant for Commands {
    async fn run(&mut self, about: Duration) -> anyhow::Result<Sample> {
        let begun = Instant::now();
        let mut callers = JoinSet::new();
        for (caller, product) in (0..self.callers).zip(self.products.iter().copied().cycle()) {
            let executor = self.executor.clone();
            // Several tasks in the name of one caller would wait for each other: fairness is per caller.
            let actor = Actor::caller("bench", Uuid::from_u128(caller as u128));
            callers.spawn(send(executor, actor, product, self.events, begun + about));
        }
        let (mut commands, mut times) = (0, Times::new()?);
        while let Some(ended) = callers.join_next().await {
            let (sent, took) = ended??;
            commands += sent;
            times.add(&took)?;
        }
        let events = commands * self.events as u64;
        Ok(Sample {
            took: begun.elapsed(),
            amounts: vec![("commands", commands), ("events", events)],
            times: Some(times),
        })
    }
}

async fn send(
    executor: Executor,
    actor: Actor,
    product: Uuid,
    events: usize,
    until: Instant,
) -> anyhow::Result<(u64, Times)> {
    let (mut sent, mut times) = (0, Times::new()?);
    while Instant::now() < until {
        let begun = Instant::now();
        let metadata = Metadata::new(CommandId(Uuid::now_v7()), actor.clone(), Timestamp::now());
        let decide = |work: &mut Work| {
            for _ in 0..events {
                work.decide::<Inventory>(product, a_receipt())?;
            }
            Ok::<_, Stop<domain::inventory::Rejection>>(())
        };
        executor.execute(metadata, None, decide).await?;
        times.record(begun.elapsed());
        sent += 1;
    }
    Ok((sent, times))
}
