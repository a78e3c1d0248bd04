//! `waybill load`: orders at a rate that does not wait for answers, as a crowd does: steadily, or with a spike in between.
//! Afterwards every order that was acknowledged is looked for.
//!
//! It works on a shop of its own that is gone afterwards, or on one that runs.

mod arrivals;
mod attempt;
mod board;
mod chart;
mod lag;
mod options;
mod profile;
mod report;
mod target;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use service_kit::{Settings, Shutdown};

use crate::bench::{Ground, Needs, Shop};
use crate::out;
use board::Board;
pub use options::LoadOptions;
use profile::Profile;
use report::Report;
use target::Target;

/// On top of the profile, everything else (servers, customers, looking for the orders) takes no longer.
const AROUND_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Runs one profile and prints what it found. Fails when something acknowledged was lost, or an answer was not as
/// promised.
pub async fn run(options: &LoadOptions, settings: &Settings) -> anyhow::Result<()> {
    let profile = Profile::of(options)?;
    let shutdown = Shutdown::new();
    shutdown.listen_for_signals()?;
    let limit = profile.length() + AROUND_LIMIT;
    let report = tokio::select! {
        report = measure(options, &profile, settings) => report?,
        () = tokio::time::sleep(limit) => {
            bail!("it did not end within {} s; something hangs, or the machine is very busy", limit.as_secs())
        }
        () = shutdown.begun() => bail!("interrupted"),
    };
    if let Some(file) = &options.html {
        std::fs::write(file, chart::page(&report))
            .with_context(|| format!("{} cannot be written", file.display()))?;
    }
    out::line(if options.json {
        serde_json::to_string_pretty(&report)?
    } else {
        report.to_text()
    });
    match report.broken.len() {
        0 => Ok(()),
        many => bail!("{many} promises were broken; the report names them"),
    }
}

async fn measure(
    options: &LoadOptions,
    profile: &Profile,
    settings: &Settings,
) -> anyhow::Result<Report> {
    if let Some(target) = Target::running(options, settings).await? {
        return against(&Arc::new(target), profile).await;
    }
    out::note("waybill load: opening a shop of its own");
    let ground = Ground::open(&options.ground(), settings, Needs::Both).await?;
    let told = match Shop::open(&ground.settings).await {
        Ok(shop) => {
            let told = async {
                let target = Target::own(options, &shop).await?;
                against(&Arc::new(target), profile).await
            };
            let told = told.await;
            shop.close().await;
            told
        }
        Err(error) => Err(error),
    };
    ground.close().await;
    told
}

async fn against(target: &Arc<Target>, profile: &Profile) -> anyhow::Result<Report> {
    out::note(format!(
        "waybill load: {} orders within {} s at {}",
        profile.planned(),
        profile.length().as_secs(),
        target.url
    ));
    let board = Board::new(profile)?;
    let lag = lag::watch(Arc::clone(target), profile.length());
    let board = arrivals::run(target, profile, board).await?;
    out::note("waybill load: looking for every acknowledged order");
    let found = verify::all(target, board.acknowledged()).await?;
    Report::of(target, profile, &board, found, lag.await)
}
