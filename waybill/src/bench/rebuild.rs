//! Rebuilding a projection while it serves: how fast, beside the same projection catching up alone, and what queries
//! notice of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use projector::{Personal, Workshop, read_models};
use tokio::task::JoinSet;

use super::ground::Ground;
use super::http::admin_token;
use super::http::client::Connection;
use super::options::ReplayOptions;
use super::process::{Ready, RoleProcess};
use super::project::{self, CatchUp, Copies, Sources};
use super::race::{Race, WarmUp};
use super::replay::Rebuild;
use super::report::{Ratio, Report, Row, Side, Wanted};
use super::times::Times;
use crate::out;

/// Each round goes through the log so often: catching up and rebuilding.
const PASSES_A_ROUND: u32 = 2;
/// What is asked for meanwhile: a page of a list, with its rows opened.
const QUERY: &str = "/v1/orders?limit=20";
const QUERIES_AT_ONCE: u32 = 2;
/// Of each of those who ask.
const QUERY_PERIOD: Duration = Duration::from_millis(10);
/// How long it is watched what queries take without a rebuild, at least.
const IDLE_MIN: Duration = Duration::from_secs(1);
const IDLE_SHARE: f64 = 0.15;
/// A rebuild may take so many times as long as catching up alone …
const WANTED_OF_PROJECT: f64 = 1.0 / 1.3;
/// … and p99 of the queries become so many times as long.
const WANTED_OF_QUERIES: f64 = 2.0;

/// Measures.
pub async fn run(
    options: &ReplayOptions,
    ground: &Ground,
    until: Instant,
) -> anyhow::Result<Report> {
    let pool = ground.pool("bench").await?;
    let vault = ground.vault(&pool)?;
    let store = ground.store().await?;
    let name = options.projection.as_str();
    let workshop = Workshop::new(&pool, Arc::clone(&store), vault.clone());
    let projection = workshop.projection(name)?;
    let log = project::log::make(
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
    let left = until.saturating_duration_since(Instant::now());

    out::note("  catching up alone");
    let personal = Personal::new(vault);
    let mut alone = Race::new(ground.watched());
    let catch_up = CatchUp::new(
        &pool,
        &store,
        &personal,
        vec![Arc::clone(&projection)],
        &log,
    );
    let title = format!("ours, {name} catching up alone");
    alone.enter(Side::Ours, "ours.project", title, None, catch_up);
    alone
        .run(
            options.common.rounds,
            Instant::now() + left.mul_f64(0.3),
            WarmUp::Done,
        )
        .await?;
    let sources = Sources::read(&pool, projection.tables()).await?;
    let mut raw = Race::new(ground.watched());
    let copies = Copies::new(&pool, sources);
    raw.enter(Side::Raw, "raw.copy", "raw COPY", None, copies);

    out::note("  opening the read side");
    let process = RoleProcess::start(&ground.settings, "projector", Ready::Says, |_| {}).await?;
    let all = CatchUp::new(&pool, &store, &personal, read_models::all(), &log);
    let outcome = async {
        all.reached(log.end).await?;
        let token: Arc<str> = admin_token(ground)?.into();
        let idle = asked(process.address(), &token, async {
            tokio::time::sleep(left.mul_f64(IDLE_SHARE).max(IDLE_MIN)).await;
            Ok(())
        });
        let ((), idle, idle_for) = idle.await?;
        out::note("  rebuilding");
        let mut race = Race::new(ground.watched().and("projector", process.pid(), false));
        let rebuild = Rebuild::new(workshop, name, &log);
        let title = format!("ours, {name} rebuilt while serving");
        race.enter(Side::Ours, "ours.rebuild", title, None, rebuild);
        let rounds = race.run(options.common.rounds, until, WarmUp::Done);
        let ((), meanwhile, meanwhile_for) = asked(process.address(), &token, rounds).await?;
        anyhow::Ok((race, (idle, idle_for), (meanwhile, meanwhile_for)))
    }
    .await;
    process.close().await;
    let (race, idle, meanwhile) = outcome?;

    out::note("  copying");
    raw.run(1, until, WarmUp::Done).await?;
    project::forget(&pool).await?;

    let mut report = Report::new("rebuild");
    log.describe(&mut report);
    report.set("projection", name);
    report.set("relevant_events", log.relevant(name));
    report.set("query", format!("GET {QUERY}"));
    report.set(
        "queries_a_second",
        f64::from(QUERIES_AT_ONCE) / QUERY_PERIOD.as_secs_f64(),
    );
    report.set(
        "processes",
        "the projector in one of its own; the rebuild and who asks in this one",
    );
    report.rows = alone.rows()?;
    report.rows.extend(raw.rows()?);
    report.rows.extend(race.rows()?);
    let queries = [
        (
            "ours.queries.idle",
            "ours, a page of orders, no rebuild",
            idle,
        ),
        (
            "ours.queries.meanwhile",
            "ours, a page of orders, while rebuilding",
            meanwhile,
        ),
    ]
    .map(|(id, title, (times, took))| {
        let mut row = Row::new(Side::Ours, id, title);
        row.latency = times.percentiles();
        row.count = row.latency.map_or(0, |times| times.samples);
        row.unit = "queries/s".to_owned();
        row.rate = row.count as f64 / took.as_secs_f64().max(1e-9);
        row.rounds = vec![row.rate];
        row
    });
    // Of the whole log: what does not concern the projection has to be read as well.
    let rate = |id: &str, figure: &dyn Fn(&Row) -> Option<f64>| {
        let row = report.rows.iter().find(|row| row.id == id);
        row.and_then(figure).unwrap_or(0.0)
    };
    let project = rate("ours.project", &|row| {
        row.also.get("log events_per_second")?.as_f64()
    });
    let rebuilt = rate("ours.rebuild", &|row| Some(row.rate)) / project.max(1e-9);
    report.ratios.push(single(
        "ours.rebuild/ours.project",
        "rebuilt while serving : catching up alone (events of the log)",
        rebuilt,
        Wanted::AtLeast(WANTED_OF_PROJECT),
    ));
    let p99 = |row: &Row| row.latency.map_or(0.0, |times| times.p99_us);
    let slower = p99(&queries[1]) / p99(&queries[0]).max(1e-9);
    report.ratios.push(single(
        "ours.queries.meanwhile/ours.queries.idle",
        "queries while rebuilding : without (p99)",
        slower,
        Wanted::AtMost(WANTED_OF_QUERIES),
    ));
    report.rows.extend(queries);
    Ok(report)
}

fn single(id: &str, title: &str, ratio: f64, wanted: Wanted) -> Ratio {
    Ratio {
        id: id.to_owned(),
        title: title.to_owned(),
        ratio,
        lowest: ratio,
        highest: ratio,
        wanted,
    }
}

/// Asks at a steady pace for as long as something else takes.
async fn asked<T>(
    address: &str,
    token: &Arc<str>,
    during: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(T, Times, Duration)> {
    let over = Arc::new(AtomicBool::new(false));
    let mut asking = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..QUERIES_AT_ONCE {
        let (token, over) = (Arc::clone(token), Arc::clone(&over));
        let mut connection = Connection::open(address).await?;
        asking.spawn(async move {
            let mut times = Times::new()?;
            let mut ticks = tokio::time::interval(QUERY_PERIOD);
            while !over.load(Ordering::Relaxed) {
                let due = ticks.tick().await.into_std();
                let (status, body) = connection
                    .send(Method::GET, QUERY, &token, Bytes::new())
                    .await?;
                if status != StatusCode::OK {
                    bail!("{QUERY}: {status}: {}", String::from_utf8_lossy(&body));
                }
                times.record(due.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let outcome = during.await;
    over.store(true, Ordering::Relaxed);
    let mut times = Times::new()?;
    while let Some(ended) = asking.join_next().await {
        times.add(&ended??)?;
    }
    Ok((outcome?, times, begun.elapsed()))
}
