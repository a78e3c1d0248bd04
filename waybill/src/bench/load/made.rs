//! Aggregates of several sizes whose events lie between each other's and others' in the log, as in a shop's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use domain::inventory::{self, Inventory};
use event_schema::ids::CommandId;
use event_schema::{Actor, Decider, EventSet, Metadata, Timestamp};
use event_store::{EventStore, Executor, Freshness, Stop, Work};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::ONE;
use crate::bench::options::LoadOptions;
use crate::bench::raw::a_receipt;
use crate::out;

/// All aggregates of one size have about so many events together.
const EVENTS_OF_A_SIZE: u32 = 6_000;
const AGGREGATES_OF_A_SIZE_MAX: u32 = 40;
/// Others' events are spread over so many aggregates.
const OTHERS: usize = 1_000;
/// So many neighbours in the log are appended by one command, and so many commands are under way: a long log takes its
/// time, and how it was written makes no difference to who reads it.
const TOGETHER: usize = 64;
const AT_ONCE: usize = 16;
/// So much of the time may be spent on making the log.
const SHARE_OF_TIME: f64 = 0.6;
/// Shorter histories get no snapshot.
const SNAPSHOT_LEAVING_EVENTS: u32 = 8;
const SNAPSHOT_LIMIT: Duration = Duration::from_secs(10);
const SNAPSHOT_PERIOD: Duration = Duration::from_millis(20);

/// Aggregates of one size.
pub struct Made {
    pub events: u32,
    pub ids: Vec<Uuid>,
}

/// All of them.
pub struct AllMade {
    pub sizes: Vec<Made>,
    pub log_events: u64,
}

/// Makes them within a part of the time.
pub async fn make(
    store: &Arc<dyn EventStore>,
    options: &LoadOptions,
    until: Instant,
) -> anyhow::Result<AllMade> {
    let mut sizes = options.sizes.clone();
    sizes.sort_unstable();
    sizes.dedup();
    let sizes: Vec<Made> = sizes
        .into_iter()
        .map(|events| {
            let aggregates = (EVENTS_OF_A_SIZE / events).clamp(1, AGGREGATES_OF_A_SIZE_MAX);
            Made {
                events,
                ids: (0..aggregates).map(|_| Uuid::now_v7()).collect(),
            }
        })
        .collect();
    let order: Arc<[Uuid]> = interleaved(&sizes, options.filler).into();
    out::note(format!("  making a log of {} events", order.len()));
    let begun = Instant::now();
    let enough = begun
        + until
            .saturating_duration_since(begun)
            .mul_f64(SHARE_OF_TIME);
    let executor = Executor::new(Arc::clone(store));
    append(&executor, &order, enough).await?;
    out::note(format!("  made in {:.1} s", begun.elapsed().as_secs_f64()));
    keep_snapshots(store, &sizes).await?;
    Ok(AllMade {
        sizes,
        log_events: store.end().await?.position.0,
    })
}

/// Whose event comes when: each aggregate's evenly over the whole log.
fn interleaved(sizes: &[Made], filler: u32) -> Vec<Uuid> {
    let mut places: Vec<(f64, Uuid)> = Vec::new();
    let mut spread = |id: Uuid, events: u64, shift: f64| {
        places.extend((0..events).map(|n| ((n as f64 + shift) / events as f64, id)));
    };
    let (mut wanted, mut shift) = (0_u64, 0.0);
    for made in sizes {
        for id in &made.ids {
            // Shifted against each other, so that they do not all come at the same moments.
            shift = (shift + 0.618_f64).fract();
            spread(*id, u64::from(made.events), shift);
            wanted += u64::from(made.events);
        }
    }
    let others = wanted * u64::from(filler);
    for n in 0..OTHERS as u64 {
        shift = (shift + 0.618_f64).fract();
        let events = others / OTHERS as u64 + u64::from(n < others % OTHERS as u64);
        spread(Uuid::now_v7(), events, shift);
    }
    places.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    places.into_iter().map(|(_, id)| id).collect()
}

async fn append(executor: &Executor, order: &Arc<[Uuid]>, enough: Instant) -> anyhow::Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut hands = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (executor, order, next) = (executor.clone(), Arc::clone(order), Arc::clone(&next));
        hands.spawn(async move {
            loop {
                let begin = next.fetch_add(TOGETHER, Ordering::Relaxed).min(order.len());
                let end = (begin + TOGETHER).min(order.len());
                let neighbours = order.get(begin..end).unwrap_or_default();
                if neighbours.is_empty() {
                    break;
                }
                if Instant::now() > enough {
                    bail!(
                        "the log of {} events could not be made within {:.0} % of the time; give it more (--seconds), or \
                         ask for less (--sizes, --filler)",
                        order.len(),
                        SHARE_OF_TIME * 100.0
                    );
                }
                let metadata = Metadata::new(CommandId(Uuid::now_v7()), Actor::system(), Timestamp::now());
                let decide = |work: &mut Work| {
                    for id in neighbours {
                        work.decide::<Inventory>(*id, a_receipt())?;
                    }
                    Ok::<_, Stop<inventory::Rejection>>(())
                };
                executor.execute(metadata, None, decide).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = hands.join_next().await {
        ended??;
    }
    Ok(())
}

/// Histories that have no snapshot from the way here get theirs when their states leave the cache, as they would with
/// time; the shortest never get one.
async fn keep_snapshots(store: &Arc<dyn EventStore>, sizes: &[Made]) -> anyhow::Result<()> {
    let leaving = Executor::with_cache(Arc::clone(store), ONE);
    let due = |made: &&Made| made.events >= SNAPSHOT_LEAVING_EVENTS;
    for id in sizes.iter().filter(due).flat_map(|made| &made.ids) {
        let key = format!(
            "{}.{}.{id}",
            <Inventory as Decider>::Event::AGGREGATE,
            Inventory::SHAPE
        );
        let until = Instant::now() + SNAPSHOT_LIMIT;
        while store.snapshot(&key).await?.is_none() {
            if Instant::now() > until {
                bail!("no snapshot was kept of an aggregate that is due one");
            }
            // Another state takes its place; both may be written in the background.
            leaving.load::<Inventory>(*id, Freshness::Leader).await?;
            leaving
                .load::<Inventory>(Uuid::now_v7(), Freshness::Any)
                .await?;
            tokio::time::sleep(SNAPSHOT_PERIOD).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_aggregate_gets_its_events_and_they_lie_apart() {
        let ids = [Uuid::now_v7(), Uuid::now_v7()];
        let sizes = [
            Made {
                events: 100,
                ids: vec![ids[0]],
            },
            Made {
                events: 10,
                ids: vec![ids[1]],
            },
        ];
        let order = interleaved(&sizes, 3);
        assert_eq!(order.len(), 440);
        let places = |id| {
            order
                .iter()
                .enumerate()
                .filter(move |(_, known)| **known == id)
                .map(|(n, _)| n)
        };
        assert_eq!(places(ids[0]).count(), 100);
        let short: Vec<usize> = places(ids[1]).collect();
        assert_eq!(short.len(), 10);
        assert!(
            short.windows(2).all(|pair| pair[1] - pair[0] > 30),
            "{short:?}"
        );
    }
}
