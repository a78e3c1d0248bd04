//! How long it takes until a command can be decided on an aggregate: read whole from the log, from a snapshot and the
//! tail after it, or warm; beside bare reads of the same messages.

mod appends;
mod made;
mod raw_read;
mod without_snapshots;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use async_trait::async_trait;
use domain::inventory::Inventory;
use event_store::{EventStore, Executor, Freshness};
use uuid::Uuid;

use super::ground::{Broker, Ground};
use super::options::LoadOptions;
use super::race::{Contestant, Figure, Race, Sample, WarmUp};
use super::report::{Report, Side, Wanted};
use super::times::Times;
use appends::{Appends, Loader};
use made::Made;
use raw_read::RawReads;
use without_snapshots::WithoutSnapshots;

/// Measures.
pub async fn run(options: &LoadOptions, ground: &Ground, until: Instant) -> anyhow::Result<Report> {
    let store = ground.store().await?;
    let made = made::make(&store, options, until).await?;
    let cold: Arc<dyn EventStore> = Arc::new(WithoutSnapshots::new(Arc::clone(&store)));
    let broker = Restarts {
        broker: ground.broker(),
        store: Arc::clone(&store),
    };
    let connection = ground.raw_connection().await?;

    let mut race = Race::new(ground.watched());
    for Made { events, ids } in &made.sizes {
        let loads = |store: &Arc<dyn EventStore>, events: u32| {
            Loads::new(store, ids, events, Some(broker.clone()))
        };
        let title = |what: &str| format!("{what}, {events} events");
        race.enter(
            Side::Ours,
            format!("ours.cold.{events}"),
            title("ours cold"),
            None,
            loads(&cold, *events),
        );
        let raw = RawReads::new(&connection, ids, *events, Some(broker.clone()));
        race.enter(
            Side::Raw,
            format!("raw.read.{events}"),
            title("raw read"),
            None,
            raw,
        );
        let snapshot = loads(&store, *events);
        race.enter(
            Side::Ours,
            format!("ours.snapshot.{events}"),
            title("ours from a snapshot"),
            None,
            snapshot,
        );
        let warm = Warm {
            executor: Executor::new(Arc::clone(&store)),
            ids: ids.clone(),
            events: *events,
        };
        race.enter(
            Side::Ours,
            format!("ours.warm.{events}"),
            title("ours warm"),
            None,
            warm,
        );
    }
    let all: Arc<[(Uuid, u32)]> = made
        .sizes
        .iter()
        .flat_map(|made| made.ids.iter().map(|id| (*id, made.events)))
        .collect();
    let beside = |store: &Arc<dyn EventStore>| {
        Some(Loader {
            store: Arc::clone(store),
            all: Arc::clone(&all),
        })
    };
    for (id, title, beside) in [
        (APPENDS_IDLE, "ours appends, nobody loads", None),
        (
            APPENDS_BESIDE,
            "ours appends beside cold loads from snapshots",
            beside(&store),
        ),
        (
            APPENDS_BESIDE_WHOLE,
            "ours appends beside cold loads of whole histories",
            beside(&cold),
        ),
    ] {
        let appends = Appends::new(&store, options.appends, beside, broker.clone());
        race.enter(Side::Ours, id, title, None, appends);
    }
    race.run(options.common.rounds, until, WarmUp::Done).await?;

    let mut report = Report::new("load");
    report.set("log_events", made.log_events);
    report.set("events_of_others_between", options.filler);
    report.set(
        "broker_restarted_before_each_round",
        ground.can_restart_broker(),
    );
    report.set("in_parallel", 1);
    report.set("appends_a_second", options.appends);
    report.rows = race.rows()?;
    for row in &mut report.rows {
        let Some(counted) = race.counted(&row.id) else {
            continue;
        };
        for (name, also) in [
            ("waybill_history_reads_total", "history_reads"),
            ("waybill_loads_total", "loads"),
        ] {
            let ways: std::collections::BTreeMap<&str, u64> = counted
                .counters
                .iter()
                .filter_map(|(known, count)| {
                    Some((known.strip_prefix(name)?.trim_matches(['{', '}']), *count))
                })
                .collect();
            if !ways.is_empty() && row.side == Side::Ours {
                row.also(also, ways);
            }
        }
    }
    for Made { events, .. } in &made.sizes {
        let p50 = Figure::Median;
        let (cold, raw) = (format!("ours.cold.{events}"), format!("raw.read.{events}"));
        report
            .ratios
            .extend(race.ratio((&cold, p50), (&raw, p50), Wanted::None));
        let snapshot = format!("ours.snapshot.{events}");
        report
            .ratios
            .extend(race.ratio((&snapshot, p50), (&raw, p50), Wanted::None));
    }
    let p99 = Figure::P99;
    for (beside, wanted) in [
        (APPENDS_BESIDE, Wanted::AtMost(2.0)),
        (APPENDS_BESIDE_WHOLE, Wanted::None),
    ] {
        let idle = (APPENDS_IDLE, p99);
        report
            .ratios
            .extend(race.ratio((beside, p99), idle, wanted));
    }
    report.remarks.push(
        "Cold: nothing in our cache, no snapshot, and the broker was just restarted. Raw reads fetch the messages of the \
         subject and decode nothing."
            .to_owned(),
    );
    Ok(report)
}

const APPENDS_IDLE: &str = "ours.appends.idle";
const APPENDS_BESIDE: &str = "ours.appends.beside";
const APPENDS_BESIDE_WHOLE: &str = "ours.appends.beside.whole";
/// Longer rounds tell no more of what takes less than a thousandth of a second.
const WARM_ROUND_MAX: Duration = Duration::from_secs(10);

/// Takes the log out of the broker's memory.
#[derive(Clone)]
pub struct Restarts {
    broker: Arc<Broker>,
    store: Arc<dyn EventStore>,
}

impl Restarts {
    async fn restart(&self) -> anyhow::Result<()> {
        self.broker.restart(self.store.as_ref()).await
    }
}

/// Every aggregate once, by a process that has just started.
struct Loads {
    store: Arc<dyn EventStore>,
    ids: Vec<Uuid>,
    events: u32,
    broker: Option<Restarts>,
}

impl Loads {
    fn new(
        store: &Arc<dyn EventStore>,
        ids: &[Uuid],
        events: u32,
        broker: Option<Restarts>,
    ) -> Self {
        Self {
            store: Arc::clone(store),
            ids: ids.to_vec(),
            events,
            broker,
        }
    }
}

#[async_trait]
impl Contestant for Loads {
    async fn run(&mut self, _: Duration) -> anyhow::Result<Sample> {
        if let Some(broker) = &self.broker {
            broker.restart().await?;
        }
        let executor = Executor::new(Arc::clone(&self.store));
        let (mut took, mut times) = (Duration::ZERO, Times::new()?);
        for id in &self.ids {
            let begun = Instant::now();
            load(&executor, *id, self.events).await?;
            times.record(begun.elapsed());
            took += begun.elapsed();
        }
        let loads = self.ids.len() as u64;
        let amounts = vec![("loads", loads), ("events", loads * u64::from(self.events))];
        Ok(Sample {
            took,
            amounts,
            times: Some(times),
        })
    }
}

/// Again and again what is in the cache.
struct Warm {
    executor: Executor,
    ids: Vec<Uuid>,
    events: u32,
}

#[async_trait]
impl Contestant for Warm {
    async fn run(&mut self, about: Duration) -> anyhow::Result<Sample> {
        for id in &self.ids {
            load(&self.executor, *id, self.events).await?;
        }
        let (begun, mut loads, mut times) = (Instant::now(), 0, Times::new()?);
        for id in self.ids.iter().cycle() {
            let at = Instant::now();
            load(&self.executor, *id, self.events).await?;
            times.record(at.elapsed());
            loads += 1;
            if begun.elapsed() >= about.min(WARM_ROUND_MAX) {
                break;
            }
        }
        Ok(Sample {
            took: begun.elapsed(),
            amounts: vec![("loads", loads)],
            times: Some(times),
        })
    }
}

/// As a command does: whatever the nearest server has, because the append checks it.
async fn load(executor: &Executor, id: Uuid, events: u32) -> anyhow::Result<()> {
    let loaded = executor.load::<Inventory>(id, Freshness::Any).await?;
    if loaded.version.0 != u64::from(events) {
        bail!(
            "an aggregate of {events} events was loaded at version {}",
            loaded.version
        );
    }
    Ok(())
}

/// A cache that has room for one state: whatever is loaded next makes the last one leave.
const ONE: NonZeroUsize = NonZeroUsize::MIN;
