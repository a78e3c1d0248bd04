//! What a shop takes of the memory while many orders wait for their money: each role as a process of its own, and the
//! broker by order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_store::Executor;
use projector::{Personal, read_models};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::ground::Ground;
use super::http::admin_token;
use super::http::client::Connection;
use super::options::MemoryOptions;
use super::process::{Memory, Ready, RoleProcess, memory_of};
use super::project::{CatchUp, log::Log};
use super::report::{Report, Row, Side};
use super::story::Shop;
use crate::out;
use hyper::{Method, StatusCode};

/// Nobody answers there: what is measured is what waits.
const NOBODY: &str = "http://127.0.0.1:9";
const MIB: f64 = 1024.0 * 1024.0;
/// So many callers make the command-api load what it can hold.
const CALLERS: usize = 16;
/// More histories than the command-api keeps warm.
const TOUCHED_MAX: usize = 12_000;
/// The log is made in at most this part of the time.
const MADE_SHARE: f64 = 0.6;
/// What is measured settles for so long.
const SETTLED: Duration = Duration::from_secs(2);
/// Longer than the broker's collector waits between two runs that nothing asks for.
const RESTED: Duration = Duration::from_secs(150);

/// Measures.
pub async fn run(
    options: &MemoryOptions,
    ground: &Ground,
    until: Instant,
) -> anyhow::Result<Report> {
    let pool = ground.pool("bench").await?;
    let vault = ground.vault(&pool)?;
    let store = ground.store().await?;
    let broker_before = broker(ground);
    out::note("  placing orders that wait for their money");
    let begun = Instant::now();
    let shop = Arc::new(Shop::open(Executor::new(Arc::clone(&store)), &vault).await?);
    let enough = begun + until.saturating_duration_since(begun).mul_f64(MADE_SHARE);
    let orders = shop.let_wait(u64::from(options.orders), enough).await?;
    let count = orders.len() as u64;
    let made_in = begun.elapsed();
    let broker_after = broker(ground);
    let log = Log::of(&store, count).await?;

    let mut report = Report::new("memory");
    log.describe(&mut report);
    report.set("made_in_seconds", made_in.as_secs_f64().round());
    report.set("live_aggregates", count * AGGREGATES_AN_ORDER);
    report.set("touched_by_commands", orders.len().min(TOUCHED_MAX));

    out::note("  starting the roles");
    let projector = RoleProcess::start(&ground.settings, "projector", Ready::Says, |_| {}).await?;
    let read_side = CatchUp::new(
        &pool,
        &store,
        &Personal::new(vault),
        read_models::all(),
        &log,
    );
    let reached = read_side.reached(log.end).await;
    let outcome = match reached {
        Ok(()) => with(&mut report, ground, &projector, &orders).await,
        Err(error) => Err(error),
    };
    projector.close().await;
    outcome?;
    out::note("  letting the broker rest");
    let broker_at_rest = rested(ground, until).await;

    for (id, title, after) in [
        (
            "raw.broker",
            "the broker, for each order, when they were placed",
            broker_after,
        ),
        (
            "raw.broker.rest",
            "the broker, for each order, at rest",
            broker_at_rest,
        ),
    ] {
        let Some((before, after)) = broker_before.zip(after) else {
            continue;
        };
        let mut row = row(Side::Raw, id, title, count);
        row.unit = "KB".to_owned();
        row.rate = after.now.saturating_sub(before.now) as f64 / 1000.0 / count.max(1) as f64;
        row.rounds = vec![row.rate];
        row.also("mebibytes", (after.now as f64 / MIB).round());
        report.rows.push(row);
    }
    Ok(report)
}

/// The broker's memory once it has let go of what it needs only while it works: blocks that were read stay for some
/// seconds, and its collector runs by itself every two minutes.
async fn rested(ground: &Ground, until: Instant) -> Option<Memory> {
    let rest = RESTED.min(until.saturating_duration_since(Instant::now()));
    tokio::time::sleep(rest).await;
    broker(ground)
}

/// Order, payment and saga.
const AGGREGATES_AN_ORDER: u64 = 3;

async fn with(
    report: &mut Report,
    ground: &Ground,
    projector: &RoleProcess,
    orders: &[Uuid],
) -> anyhow::Result<()> {
    let saga = RoleProcess::start(
        &ground.settings,
        "saga-orchestrator",
        Ready::Says,
        |command| {
            command
                .env("WAYBILL_PAYMENT_URL", NOBODY)
                .env("WAYBILL_PAYMENT_KEY", "sk_bench")
                .env("WAYBILL_PAYMENT_WEBHOOK_SECRET", "whsec_bench");
        },
    )
    .await?;
    let door = RoleProcess::start(&ground.settings, "command-api", Ready::Says, |_| {}).await?;
    let touched = touch(ground, &door, orders).await;
    tokio::time::sleep(SETTLED).await;
    for (id, title, process) in [
        ("ours.command-api", "ours, command-api", &door),
        ("ours.projector", "ours, projector", projector),
        ("ours.saga-orchestrator", "ours, saga-orchestrator", &saga),
    ] {
        let Some(Memory { now, peak }) = process.pid().and_then(memory_of) else {
            continue;
        };
        let mut row = row(Side::Ours, id, title, orders.len() as u64);
        row.unit = "MB".to_owned();
        row.rate = now as f64 / 1e6;
        row.rounds = vec![row.rate];
        row.also("peak_megabytes", (peak as f64 / 1e6).round());
        report.rows.push(row);
    }
    door.close().await;
    saga.close().await;
    touched
}

fn row(side: Side, id: &str, title: &str, count: u64) -> Row {
    let mut row = Row::new(side, id, title);
    row.count = count;
    row
}

fn broker(ground: &Ground) -> Option<Memory> {
    ground.broker_pids().into_iter().find_map(memory_of)
}

/// Makes the command-api load more histories than it keeps: each order is said to be ready, which it cannot be before it
/// is paid for.
async fn touch(ground: &Ground, door: &RoleProcess, orders: &[Uuid]) -> anyhow::Result<()> {
    let token: Arc<str> = admin_token(ground)?.into();
    let orders: Arc<[Uuid]> = orders.iter().copied().take(TOUCHED_MAX).collect();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (token, orders) = (Arc::clone(&token), Arc::clone(&orders));
        let mut connection = Connection::open(door.address()).await?;
        callers.spawn(async move {
            let mut said = BTreeMap::<StatusCode, u64>::new();
            for order in orders.iter().skip(caller).step_by(CALLERS) {
                let path = format!("/v1/orders/{order}/ready");
                let (status, _) = connection
                    .send(Method::POST, &path, &token, "{}".into())
                    .await?;
                *said.entry(status).or_default() += 1;
            }
            anyhow::Ok(said)
        });
    }
    while let Some(ended) = callers.join_next().await {
        for (status, count) in ended?? {
            if status.is_server_error() {
                anyhow::bail!("{count} commands were answered {status}");
            }
        }
    }
    Ok(())
}
