//! Everybody at one product: how much of the usual rate is left when all commands of a process meet on one history, and
//! what becomes of callers when two processes do so at once.

mod two;

use std::sync::Arc;
use std::time::{Duration, Instant};

use event_store::Executor;
use uuid::Uuid;

use super::append::Commands;
use super::ground::Ground;
use super::options::HotOptions;
use super::race::{Figure, Race, WarmUp};
use super::raw::{Batches, RawStream, Shape};
use super::report::{Report, Side, Wanted};
use crate::out;

/// The part with two processes gets this share of the time.
const TWO_SHARE: f64 = 0.5;
/// Chains of this length are the ceiling of one process.
const CHAIN: usize = 64;
/// Of commands that meet nobody.
const WANTED_OF_SPREAD: f64 = 0.5;

/// Measures.
pub async fn run(options: &HotOptions, ground: &Ground, until: Instant) -> anyhow::Result<Report> {
    let callers = usize::from(options.callers);
    let executor = Executor::new(ground.store().await?);
    let raw = RawStream::create(ground.raw_connection().await?).await?;
    let shape = Shape::of_a_receipt()?;
    let products: Arc<[Uuid]> = (0..callers).map(|_| Uuid::now_v7()).collect();
    let hot: Arc<[Uuid]> = [Uuid::now_v7()].into();
    let mut race = Race::new(ground.watched());
    for (id, title, products) in [
        (
            "ours.spread",
            "ours, each caller on a product of his own",
            products,
        ),
        ("ours.hot", "ours, all callers on one product", hot),
    ] {
        let commands = Commands::new(executor.clone(), products, callers, 1);
        race.enter(Side::Ours, id, title, Some(callers), commands);
    }
    let chains = Batches::of_one_subject(&raw, &shape, CHAIN, 1);
    let title = format!("raw batches of {CHAIN} on one subject");
    race.enter(Side::Raw, "raw.chain", title, None, chains);
    let left = until.saturating_duration_since(Instant::now());
    out::note("  one process");
    let raced = race
        .run(
            options.common.rounds,
            Instant::now() + left.mul_f64(1.0 - TWO_SHARE),
            WarmUp::Round,
        )
        .await;
    raw.delete().await?;
    raced?;

    let mut report = Report::new("hot");
    report.set("callers", callers);
    report.rows = race.rows()?;
    for row in &mut report.rows {
        let conflicts = race.counted(&row.id).map_or(0, |counted| {
            counted.total("waybill_command_conflicts_total")
        });
        row.also("conflicts", conflicts);
    }
    let rate = Figure::Rate("events");
    let ratios = [
        ("ours.spread", Wanted::AtLeast(WANTED_OF_SPREAD)),
        ("raw.chain", Wanted::None),
    ];
    for (other, wanted) in ratios {
        report
            .ratios
            .extend(race.ratio(("ours.hot", rate), (other, rate), wanted));
    }
    out::note("  two processes");
    let time = until
        .saturating_duration_since(Instant::now())
        .max(Duration::from_secs(1));
    two::measure(&mut report, ground, callers, time).await?;
    Ok(report)
}
