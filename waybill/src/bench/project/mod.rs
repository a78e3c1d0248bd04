//! How fast events become committed rows: the projector's worker catching up with a log, beside bare `unnest` upserts
//! and COPY into tables of the same shape; and how soon after a command its row is seen.

mod catch_up;
pub mod log;
mod rows;
mod visible;

pub use catch_up::CatchUp;
pub use rows::{Copies, Sources, forget};

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use event_store::Executor;
use projector::{Personal, read_models};

use super::ground::Ground;
use super::options::ProjectOptions;
use super::race::{Figure, Race, WarmUp};
use super::report::{Report, Side, Wanted};
use crate::out;
use rows::Upserts;

/// Each round goes through the log so often: one projection alone, and all of them.
const PASSES_A_ROUND: u32 = 2;
/// So much of what is left is kept for the measurement of how soon a row is seen.
const VISIBLE_SHARE: f64 = 0.2;
const VISIBLE_MIN: Duration = Duration::from_millis(500);
/// Rows written should reach so much of bare upserts.
const WANTED_OF_UPSERTS: f64 = 0.5;

/// Measures.
pub async fn run(
    options: &ProjectOptions,
    ground: &Ground,
    until: Instant,
) -> anyhow::Result<Report> {
    let pool = ground.pool("bench").await?;
    let vault = ground.vault(&pool)?;
    let store = ground.store().await?;
    let name = options.projection.as_str();
    let all = read_models::all();
    let Some(alone) = all
        .iter()
        .find(|projection| projection.name() == name)
        .cloned()
    else {
        let known: Vec<&str> = all.iter().map(|projection| projection.name()).collect();
        bail!(
            "there is no projection named {name:?}; there are {}",
            known.join(", ")
        );
    };
    let log = log::make(
        &store,
        &vault,
        u64::from(options.orders),
        1 + PASSES_A_ROUND * options.common.rounds,
        until,
    )
    .await?;
    if log.relevant(name) == 0 {
        bail!("the bench's log holds nothing that concerns the projection {name}");
    }
    let personal = Personal::new(vault);
    let catch_up = |projections| CatchUp::new(&pool, &store, &personal, projections, &log);

    // Once before anybody is measured: the raw limits write the rows that come of it.
    out::note("  projecting");
    let mut first = catch_up(vec![Arc::clone(&alone)]);
    let written = first.through().await?.rows;
    let sources = Sources::read(&pool, alone.tables()).await?;
    let table_rows = sources.rows();

    let mut race = Race::new(ground.watched());
    race.enter(
        Side::Ours,
        "ours.alone",
        format!("ours, {name} alone"),
        None,
        first,
    );
    let upserts = Upserts::new(&pool, sources.clone(), written);
    race.enter(
        Side::Raw,
        "raw.upserts",
        "raw unnest upserts of 1000",
        None,
        upserts,
    );
    let copies = Copies::new(&pool, sources);
    race.enter(Side::Raw, "raw.copy", "raw COPY", None, copies);
    race.enter(
        Side::Ours,
        "ours.all",
        "ours, all projections together",
        None,
        catch_up(all),
    );
    let keep = until
        .saturating_duration_since(Instant::now())
        .mul_f64(VISIBLE_SHARE)
        .max(VISIBLE_MIN);
    let raced = race
        .run(
            options.common.rounds,
            until.checked_sub(keep).unwrap_or(until),
            WarmUp::Done,
        )
        .await;
    rows::forget(&pool).await?;
    raced?;

    let mut report = Report::new("project");
    log.describe(&mut report);
    report.set("projection", name);
    report.set("relevant_events", log.relevant(name));
    report.set("rows_in_tables", table_rows);
    report.set("rows_written_a_run", written);
    report.set("upsert_rows_a_statement", rows::STATEMENT_ROWS);
    report.rows = race.rows()?;
    for row in &mut report.rows {
        let counted = race.counted(&row.id).context("an unknown row")?;
        let batches = counted.spread(&format!(
            "waybill_projector_batch_seconds{{projection={name}}}"
        ));
        if let Some(batches) = batches {
            row.also("batch_microseconds", batches);
        }
    }
    let rows = Figure::Rate("rows");
    let wanted = Wanted::AtLeast(WANTED_OF_UPSERTS);
    report
        .ratios
        .extend(race.ratio(("ours.alone", rows), ("raw.upserts", rows), wanted));
    report
        .ratios
        .extend(race.ratio(("ours.alone", rows), ("raw.copy", rows), Wanted::None));
    report.ratios.extend(race.ratio(
        ("ours.all", Figure::Rate("log events")),
        ("ours.alone", Figure::Rate("log events")),
        Wanted::None,
    ));

    out::note("  watching for rows");
    let executor = Executor::new(Arc::clone(&store));
    let time = until
        .saturating_duration_since(Instant::now())
        .max(VISIBLE_MIN);
    let mut worker = catch_up(read_models::all());
    let seen = visible::measure(&mut worker, &pool, &executor, options.trickle, time).await?;
    report.rows.extend(seen);
    Ok(report)
}
