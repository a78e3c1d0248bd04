//! How many durable conditional commands a second, and how soon each is answered: ours through the executor and its
//! lane, beside the same messages published plainly one by one, and in atomic batches.

mod ours;

pub use ours::Commands;

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use event_store::Executor;
use uuid::Uuid;

use super::ground::Ground;
use super::options::AppendOptions;
use super::race::{Figure, Race, WarmUp};
use super::raw::{Batches, Publishes, RawStream, Shape};
use super::report::{Report, Side, Wanted};
use crate::out;

/// Batches of these sizes are the ceiling: what one lane could do that has always enough to carry.
const CEILINGS: [usize; 2] = [64, 256];
/// Most batches that the broker takes in at once, with some room.
const RAW_BATCHES_AT_ONCE_MAX: usize = 40;
/// What should be reached with an optimised build on a quiet machine, with fsync: by callers, against plain publishes.
const WANTED_OF_PUBLISHES: &[(usize, f64)] = &[(64, 2.0), (256, 3.0)];
/// … and at 64 callers against batches of 64.
const WANTED_OF_BATCHES: (usize, usize, f64) = (64, 64, 0.5);
/// A lone caller's answer may take so much longer than a plain publish.
const WANTED_LONE: f64 = 1.3;

/// Measures.
pub async fn run(
    options: &AppendOptions,
    ground: &Ground,
    until: Instant,
) -> anyhow::Result<Report> {
    let executor = Executor::new(ground.store().await?);
    let raw = RawStream::create(ground.raw_connection().await?).await?;
    let events = usize::from(options.events);
    let most = options.callers.iter().copied().max().unwrap_or(1);
    let products: Arc<[Uuid]> = (0..most).map(|_| Uuid::now_v7()).collect();
    let shape = Shape::of_a_receipt()?;
    out::note("  appending");

    let mut race = Race::new(ground.watched());
    for callers in options.callers.iter().copied().map(usize::from) {
        let many = if callers == 1 { "caller" } else { "callers" };
        let products = if options.hot {
            Arc::from(&products[..1])
        } else {
            Arc::clone(&products)
        };
        let ours = Commands::new(executor.clone(), products, callers, events);
        race.enter(
            Side::Ours,
            format!("ours.{callers}"),
            format!("ours, {callers} {many}"),
            Some(callers),
            ours,
        );
        if events == 1 {
            let publishes = Publishes::new(&raw, &shape, callers);
            let title = format!("raw publishes, {callers} {many}");
            race.enter(
                Side::Raw,
                format!("raw.{callers}"),
                title,
                Some(callers),
                publishes,
            );
        } else {
            let at_once = callers.min(RAW_BATCHES_AT_ONCE_MAX);
            let batches = Batches::of_one_subject(&raw, &shape, events, at_once);
            let title = format!("raw batches of {events}, {at_once} at once");
            race.enter(
                Side::Raw,
                format!("raw.{callers}"),
                title,
                Some(at_once),
                batches,
            );
        }
    }
    for size in CEILINGS {
        let batches = Batches::new(&raw, &shape, size, 1);
        let title = format!("raw batches of {size}, one in flight");
        race.enter(Side::Raw, format!("raw.batch.{size}"), title, None, batches);
    }
    let raced = race.run(options.common.rounds, until, WarmUp::Round).await;
    raw.delete().await?;
    raced?;

    let mut report = Report::new("append");
    report.set("payload_bytes", shape.payload_bytes());
    report.set("header_bytes", shape.header_bytes());
    report.set("events_per_command", events);
    report.set("subjects", if options.hot { "one" } else { "one a caller" });
    report.set("connections", "one for ours, one for raw");
    report.rows = race.rows()?;
    for row in &mut report.rows {
        let counted = race.counted(&row.id).context("an unknown row")?;
        if let Some(batches) = counted.spread("waybill_append_batch_messages") {
            row.also("batch_messages", batches);
        }
        let conflicts = counted.total("waybill_command_conflicts_total");
        if conflicts > 0 {
            row.also("conflicts", conflicts);
        }
    }
    compare(&mut report, &race, options, events);
    remark(&mut report, &race);
    Ok(report)
}

fn compare(report: &mut Report, race: &Race, options: &AppendOptions, events: usize) {
    let rate = Figure::Rate("events");
    for callers in options.callers.iter().copied().map(usize::from) {
        let (ours, raw) = (format!("ours.{callers}"), format!("raw.{callers}"));
        let wanted = WANTED_OF_PUBLISHES
            .iter()
            .find(|(known, _)| *known == callers && events == 1);
        let wanted = wanted.map_or(Wanted::None, |(_, ratio)| Wanted::AtLeast(*ratio));
        report
            .ratios
            .extend(race.ratio((&ours, rate), (&raw, rate), wanted));
        if callers == 1 {
            let (ours, raw) = (
                (ours.as_str(), Figure::Median),
                (raw.as_str(), Figure::Median),
            );
            report
                .ratios
                .extend(race.ratio(ours, raw, Wanted::AtMost(WANTED_LONE)));
        }
    }
    for callers in options
        .callers
        .iter()
        .copied()
        .map(usize::from)
        .filter(|callers| *callers > 1)
    {
        for size in CEILINGS {
            let (at, of, least) = WANTED_OF_BATCHES;
            let wanted = if (at, of) == (callers, size) {
                Wanted::AtLeast(least)
            } else {
                Wanted::None
            };
            let (ours, raw) = (format!("ours.{callers}"), format!("raw.batch.{size}"));
            report
                .ratios
                .extend(race.ratio((&ours, rate), (&raw, rate), wanted));
        }
    }
}

fn remark(report: &mut Report, race: &Race) {
    let counted = race.counted_by_ours();
    for (name, means) in [
        (
            "waybill_append_resends_total",
            "batches whose answer stayed out were looked for or sent again",
        ),
        (
            "waybill_snapshots_total",
            "snapshots were written meanwhile, as the policy says",
        ),
        (
            "waybill_command_stale_answers_total",
            "answers were checked with the leader again",
        ),
    ] {
        let count = counted.total(name);
        if count > 0 {
            report.remarks.push(format!("{count} {means}."));
        }
    }
}
