//! How many orders a second get from placed to confirmed: over HTTP into a whole shop in a process of its own, with the
//! payment sandbox answering at once, and quotes that were asked for before. Beside the sandbox's own limit.

mod customers;
mod kills;
mod sandbox;
mod shop;

use std::sync::Arc;
use std::time::Instant;

use super::ground::Ground;
use super::options::SagaOptions;
use super::race::{Figure, Race, WarmUp};
use super::report::{Report, Side, Wanted};
use crate::out;
use customers::{Customers, Orders};
use sandbox::SandboxCalls;
pub use shop::Shop;

/// Half of what is left is kept for the part with kills.
const KILLS_SHARE: f64 = 0.5;

/// Measures.
pub async fn run(options: &SagaOptions, ground: &Ground, until: Instant) -> anyhow::Result<Report> {
    out::note("  opening a shop");
    let shop = Arc::new(Shop::open(&ground.settings).await?);
    let outcome = with(&shop, options, ground, until).await;
    shop.close().await;
    outcome
}

async fn with(
    shop: &Arc<Shop>,
    options: &SagaOptions,
    ground: &Ground,
    until: Instant,
) -> anyhow::Result<Report> {
    let callers = usize::from(options.callers);
    let store = ground.store().await?;
    let customers = Arc::new(Customers::register(shop, store, callers).await?);
    let mut race = Race::new(ground.watched().and("shop", shop.pid(), false));
    let orders = Orders::new(Arc::clone(&customers));
    race.enter(
        Side::Ours,
        "ours.orders",
        "ours, placed to confirmed",
        Some(callers),
        orders,
    );
    let database = ground.fresh_database().await?;
    if let Some(database) = &database {
        let calls = SandboxCalls::start(database, callers).await?;
        race.enter(
            Side::Raw,
            "raw.sandbox",
            "raw calls of the sandbox",
            Some(callers),
            calls,
        );
    }
    let kept = options.kill_every.map_or(0.0, |_| KILLS_SHARE);
    let left = until.saturating_duration_since(Instant::now());
    race.run(
        options.common.rounds,
        Instant::now() + left.mul_f64(1.0 - kept),
        WarmUp::Round,
    )
    .await?;

    let mut report = Report::new("saga");
    report.set("customers", callers);
    report.set("lines_an_order", 1);
    report.set("card", customers::CARD);
    report.set(
        "shop",
        "one process with all roles; customers and log reader in this one",
    );
    report.set("quotes", "asked for before, not in the figure");
    report.set(
        "raw_calls",
        "authorise and capture, at a sandbox of their own that calls nobody back",
    );
    if database.is_none() {
        report
            .remarks
            .push("The sandbox alone needs an empty database and was not measured.".to_owned());
    }
    report.rows = race.rows()?;
    let orders = Figure::Rate("orders");
    report.ratios.extend(race.ratio(
        ("ours.orders", orders),
        ("raw.sandbox", orders),
        Wanted::None,
    ));
    if let Some(kill_every) = options.kill_every {
        out::note("  killing");
        let usual = report.rows.first().map_or(1.0, |row| row.rate);
        report
            .rows
            .push(kills::run(shop, &customers, kill_every, usual, until).await?);
        report.set("kill_every_ms", u64::try_from(kill_every.as_millis())?);
    }
    Ok(report)
}
