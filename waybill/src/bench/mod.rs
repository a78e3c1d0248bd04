//! `waybill bench`: what Waybill does in a second, beside what the same broker and the same database can do at most,
//! measured in the same run with the same bytes. The ratio is the figure to trust: the rest depends on the machine.
//!
//! A bench works on servers of its own that are gone afterwards, so it cannot touch a shop.

mod append;
mod cores;
mod ground;
mod hot;
mod http;
mod load;
mod memory;
mod notify;
mod options;
mod process;
mod project;
mod race;
mod raw;
mod rebuild;
mod replay;
mod report;
mod saga;
mod story;
mod tally;
mod times;
mod trickle;

use std::time::{Duration, Instant};

use anyhow::bail;
use service_kit::{Settings, Shutdown};

use crate::out;
pub use ground::{Ground, Needs};
pub use options::{BenchCommand, Common};
use report::Report;
pub use saga::Shop;
pub use times::{Percentiles, Times, shown};

/// A bench plans its work into the time it is given; one that takes so much longer is ended.
const OVERRUN_MAX: u32 = 4;
const OVERRUN_LEAST: Duration = Duration::from_secs(60);

/// Runs one bench and prints what it found.
pub async fn run(command: BenchCommand, settings: &Settings) -> anyhow::Result<()> {
    tally::install();
    let common = command.common().clone();
    let shutdown = Shutdown::new();
    shutdown.listen_for_signals()?;
    let needs = match &command {
        BenchCommand::Append(_) | BenchCommand::Load(_) => Needs::Broker,
        BenchCommand::Project(_)
        | BenchCommand::Replay(_)
        | BenchCommand::Saga(_)
        | BenchCommand::Notify(_)
        | BenchCommand::Http(_)
        | BenchCommand::Hot(_)
        | BenchCommand::Rebuild(_)
        | BenchCommand::Memory(_) => Needs::Both,
    };
    let ground = Ground::open(&common, settings, needs).await?;
    let until = Instant::now() + common.time();
    let limit = common.time() * OVERRUN_MAX + OVERRUN_LEAST;
    let outcome = tokio::select! {
        outcome = measure(&command, &ground, until) => outcome,
        () = tokio::time::sleep(limit) => {
            Err(anyhow::anyhow!("it did not end within {} s; something hangs, or the machine is very busy", limit.as_secs()))
        }
        () = shutdown.begun() => Err(anyhow::anyhow!("interrupted")),
    };
    let told = match outcome {
        Ok(report) => finish(report, &common, &ground).await,
        Err(error) => Err(error),
    };
    ground.close().await;
    out::line(told?);
    Ok(())
}

async fn measure(
    command: &BenchCommand,
    ground: &Ground,
    until: Instant,
) -> anyhow::Result<Report> {
    match command {
        BenchCommand::Append(options) => append::run(options, ground, until).await,
        BenchCommand::Project(options) => project::run(options, ground, until).await,
        BenchCommand::Replay(options) => replay::run(options, ground, until).await,
        BenchCommand::Load(options) => load::run(options, ground, until).await,
        BenchCommand::Saga(options) => saga::run(options, ground, until).await,
        BenchCommand::Notify(options) => notify::run(options, ground, until).await,
        BenchCommand::Http(options) => http::run(options, ground, until).await,
        BenchCommand::Hot(options) => hot::run(options, ground, until).await,
        BenchCommand::Rebuild(options) => rebuild::run(options, ground, until).await,
        BenchCommand::Memory(options) => memory::run(options, ground, until).await,
    }
}

/// Adds what all reports have, and spells it.
async fn finish(mut report: Report, common: &Common, ground: &Ground) -> anyhow::Result<String> {
    if report.rows.iter().any(|row| row.count == 0) {
        let idle: Vec<&str> = report
            .rows
            .iter()
            .filter(|row| row.count == 0)
            .map(|row| row.id.as_str())
            .collect();
        bail!(
            "{} did nothing within {} s; give the bench more time (--seconds)",
            idle.join(", "),
            common.seconds
        );
    }
    ground.describe(&mut report).await?;
    report.set("seconds", common.seconds);
    report.set("rounds", common.rounds);
    if cfg!(debug_assertions) {
        report.remarks.push(
            "This program was built without optimisation: its own share of the work looks several times larger than it \
             is. Build with --release before comparing with anything."
                .to_owned(),
        );
    }
    if common.json {
        report.to_json()
    } else {
        Ok(report.to_text())
    }
}
