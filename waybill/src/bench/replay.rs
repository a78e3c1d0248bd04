//! How fast the log is read: into fresh tables by a rebuild, as events, as decoded events; beside bare consumption of
//! the stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use async_nats::jetstream::{self, consumer::pull::OrderedConfig};
use async_trait::async_trait;
use event_schema::{DecodeError, EventSet, Position, Recorded};
use event_schema::{customer, fulfilment, inventory, offer, order, partner, payment, product};
use event_store::EventStore;
use event_store::topology::EVENTS;
use futures::StreamExt as _;
use projector::Workshop;
use tokio::time::timeout;

use super::ground::Ground;
use super::options::ReplayOptions;
use super::project::log::{self, Log};
use super::race::{Contestant, Figure, Race, Sample, WarmUp};
use super::report::{Report, Side, Wanted};

/// What is in the log must come within this.
const EVENT_LIMIT: Duration = Duration::from_secs(30);
/// Each round reads the log four times; two of them take little.
const PASSES_A_ROUND: u32 = 3;
const ALL: &str = "evt.>";
/// How their subjects begin.
const OURS: &str = "evt.";
/// Decoding the whole log should reach so much of bare consumption.
const WANTED_OF_CONSUMPTION: f64 = 0.5;

/// Measures.
pub async fn run(
    options: &ReplayOptions,
    ground: &Ground,
    until: Instant,
) -> anyhow::Result<Report> {
    let pool = ground.pool("bench").await?;
    let vault = ground.vault(&pool)?;
    let store = ground.store().await?;
    let workshop = Workshop::new(&pool, Arc::clone(&store), vault.clone());
    // Before the long work: the name may be wrong.
    workshop.projection(&options.projection)?;
    let log = log::make(
        &store,
        &vault,
        u64::from(options.orders),
        PASSES_A_ROUND * options.common.rounds,
        until,
    )
    .await?;

    let mut race = Race::new(ground.watched());
    let raw = RawConsumption {
        client: ground.raw_connection().await?,
        events: log.events,
    };
    race.enter(
        Side::Raw,
        "raw.consume",
        "raw ordered consumption",
        None,
        raw,
    );
    for (id, title, decode) in [
        ("ours.follow", "ours, as events", false),
        ("ours.decode", "ours, decoded", true),
    ] {
        let follow = Follow {
            store: Arc::clone(&store),
            log: log.clone(),
            decode,
        };
        race.enter(Side::Ours, id, title, None, follow);
    }
    let rebuild = Rebuild::new(workshop, &options.projection, &log);
    let title = format!("ours, rebuild of {}", options.projection);
    race.enter(Side::Ours, "ours.rebuild", title, None, rebuild);
    race.run(options.common.rounds, until, WarmUp::Done).await?;

    let mut report = Report::new("replay");
    log.describe(&mut report);
    report.set("projection", &options.projection);
    report.rows = race.rows()?;
    let rate = Figure::Rate("events");
    for (ours, wanted) in [
        ("ours.follow", Wanted::None),
        ("ours.decode", Wanted::AtLeast(WANTED_OF_CONSUMPTION)),
        ("ours.rebuild", Wanted::None),
    ] {
        report
            .ratios
            .extend(race.ratio((ours, rate), ("raw.consume", rate), wanted));
    }
    Ok(report)
}

/// An ordered consumer of the client library, and nothing done with what it gives.
struct RawConsumption {
    client: async_nats::Client,
    events: u64,
}

#[async_trait]
impl Contestant for RawConsumption {
    async fn run(&mut self, _: Duration) -> anyhow::Result<Sample> {
        let begun = Instant::now();
        let context = jetstream::new(self.client.clone());
        // Without a filter, which costs the broker more than the messages it spares us.
        let config = OrderedConfig::default();
        let consumer = context.create_consumer_on_stream(config, EVENTS).await?;
        let mut messages = consumer.messages().await?;
        let (mut events, mut bytes) = (0, 0);
        while events < self.events {
            let message = timeout(EVENT_LIMIT, messages.next())
                .await?
                .context("the consumer ended")??;
            if message.subject.starts_with(OURS) {
                events += 1;
                bytes += message.length as u64;
            }
        }
        Ok(Sample {
            took: begun.elapsed(),
            amounts: vec![("events", events), ("bytes", bytes)],
            times: None,
        })
    }
}

/// Our subscription, from the first event to the last.
struct Follow {
    store: Arc<dyn EventStore>,
    log: Log,
    decode: bool,
}

#[async_trait]
impl Contestant for Follow {
    async fn run(&mut self, _: Duration) -> anyhow::Result<Sample> {
        let begun = Instant::now();
        let mut subscription = self.store.subscribe(Position(0), &[ALL]).await?;
        let (mut events, mut bytes) = (0, 0);
        while events < self.log.events {
            let event = timeout(EVENT_LIMIT, subscription.next()).await??;
            if self.decode {
                decode(&event)?;
            }
            events += 1;
            bytes += event.payload.len() as u64;
        }
        Ok(Sample {
            took: begun.elapsed(),
            amounts: vec![("events", events), ("payload bytes", bytes)],
            times: None,
        })
    }
}

fn decode(event: &Recorded) -> anyhow::Result<()> {
    fn read<E: EventSet>(event: &Recorded) -> Result<(), DecodeError> {
        E::decode(&event.event_type, event.schema_version, &event.payload).map(drop)
    }
    let aggregate = event
        .subject
        .aggregate()
        .map_or("", |(aggregate, _)| aggregate);
    match aggregate {
        "order" => read::<order::Event>(event)?,
        "payment" => read::<payment::Event>(event)?,
        "fulfilment" => read::<fulfilment::Event>(event)?,
        "inventory" => read::<inventory::Event>(event)?,
        "customer" => read::<customer::Event>(event)?,
        "partner" => read::<partner::Event>(event)?,
        "product" => read::<product::Event>(event)?,
        "offer" => read::<offer::Event>(event)?,
        other => bail!("a bench's log holds no events of {other:?}"),
    }
    Ok(())
}

/// The whole log into fresh tables that take the place of the old ones.
pub struct Rebuild {
    workshop: Workshop,
    projection: String,
    log: Log,
}

impl Rebuild {
    pub fn new(workshop: Workshop, projection: &str, log: &Log) -> Self {
        Self {
            workshop,
            projection: projection.to_owned(),
            log: log.clone(),
        }
    }
}

#[async_trait]
impl Contestant for Rebuild {
    async fn run(&mut self, _: Duration) -> anyhow::Result<Sample> {
        let begun = Instant::now();
        let rebuilt = self.workshop.rebuild(&self.projection, |_| {}).await?;
        let took = begun.elapsed();
        if rebuilt.parked > 0 {
            bail!(
                "{} keys were parked by the rebuild of {}",
                rebuilt.parked,
                self.projection
            );
        }
        let relevant = self.log.relevant(&self.projection);
        Ok(Sample {
            took,
            amounts: vec![("events", self.log.events), ("relevant events", relevant)],
            times: None,
        })
    }
}
