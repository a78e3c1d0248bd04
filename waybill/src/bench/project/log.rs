//! The log that projections are measured on, and what is in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_schema::Position;
use event_store::{EventStore, Executor};
use projector::read_models;
use service_kit::vault::Vault;
use tokio::time::timeout;

use crate::bench::report::Report;
use crate::bench::story::Shop;
use crate::out;

/// What is in the log must come within this.
const EVENT_LIMIT: Duration = Duration::from_secs(30);
/// Reading the log once is planned with as much time as making it, and this much for everything else.
const TIMES_BESIDES: f64 = 2.0;

/// What is in the log.
#[derive(Debug, Clone)]
pub struct Log {
    /// Orders that were placed for this run.
    pub orders: u64,
    /// Events of aggregates.
    pub events: u64,
    /// The position of the last one.
    pub end: Position,
    /// Their payloads together.
    pub payload_bytes: u64,
    /// How many concern each projection.
    relevant: BTreeMap<&'static str, u64>,
    made_in: Duration,
}

/// Makes it, small enough to be gone through so many times in the time that is left, and looks through it.
pub async fn make(
    store: &Arc<dyn EventStore>,
    vault: &Vault,
    orders_max: u64,
    passes: u32,
    until: Instant,
) -> anyhow::Result<Log> {
    out::note("  making a log");
    let begun = Instant::now();
    let shop = Arc::new(Shop::open(Executor::new(Arc::clone(store)), vault).await?);
    let share = 1.0 / (f64::from(passes) + TIMES_BESIDES);
    let enough = begun + until.saturating_duration_since(begun).mul_f64(share);
    let orders = shop.sell(orders_max, enough).await?;
    let made_in = begun.elapsed();
    let log = Log {
        made_in,
        ..Log::of(store, orders).await?
    };
    out::note(format!(
        "  {orders} orders, {} events in {:.1} s",
        log.events,
        log.made_in.as_secs_f64()
    ));
    Ok(log)
}

impl Log {
    /// What is in a log that was made by other means.
    pub async fn of(store: &Arc<dyn EventStore>, orders: u64) -> anyhow::Result<Self> {
        let mut log = Self {
            orders,
            events: 0,
            end: store.end().await?.position,
            payload_bytes: 0,
            relevant: BTreeMap::new(),
            made_in: Duration::ZERO,
        };
        log.look_through(store.as_ref()).await?;
        Ok(log)
    }

    /// Events that concern a projection.
    pub fn relevant(&self, projection: &str) -> u64 {
        self.relevant.get(projection).copied().unwrap_or(0)
    }

    /// For the report.
    pub fn describe(&self, report: &mut Report) {
        report.set("orders", self.orders);
        report.set("events", self.events);
        report.set(
            "payload_bytes_mean",
            self.payload_bytes / self.events.max(1),
        );
        if !self.made_in.is_zero() {
            report.set(
                "log_made_at_events_per_second",
                (self.events as f64 / self.made_in.as_secs_f64()).round(),
            );
        }
    }

    async fn look_through(&mut self, store: &dyn EventStore) -> anyhow::Result<()> {
        let projections = read_models::all();
        let mut subscription = store.subscribe(Position(0), &["evt.>"]).await?;
        let mut reached = Position(0);
        while reached < self.end {
            let event = timeout(EVENT_LIMIT, subscription.next()).await??;
            reached = event.position;
            self.events += 1;
            self.payload_bytes += event.payload.len() as u64;
            for projection in &projections {
                if projection.key(&event).is_some() {
                    *self.relevant.entry(projection.name()).or_default() += 1;
                }
            }
        }
        Ok(())
    }
}
