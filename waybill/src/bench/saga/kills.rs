//! Orders that come at a steady pace while an orchestrator is killed again and again: none may be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::task::JoinSet;

use super::customers::Customers;
use super::shop::Shop;
use crate::bench::report::{Row, Side};
use crate::bench::times::Times;

/// Orders come at this share of what was reached without kills, so that there is room to catch up.
const PACE: f64 = 0.3;
/// The last orders are given so much time to end.
const TAIL: Duration = Duration::from_secs(12);
const TIME_MIN: Duration = Duration::from_secs(2);

/// Sends orders until a little before `until`, then waits for the last one.
pub async fn run(
    shop: &Arc<Shop>,
    customers: &Arc<Customers>,
    kill_every: Duration,
    usual: f64,
    until: Instant,
) -> anyhow::Result<Row> {
    let pace = (usual * PACE).max(1.0);
    let time = until
        .saturating_duration_since(Instant::now())
        .saturating_sub(TAIL)
        .max(TIME_MIN);
    let kills = Arc::new(AtomicU64::new(0));
    let killing = tokio::spawn(kill(Arc::clone(shop), kill_every, Arc::clone(&kills)));
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / pace));
    let mut orders = JoinSet::new();
    for number in 0.. {
        let due = ticks.tick().await.into_std();
        if due.saturating_duration_since(begun) >= time {
            break;
        }
        let customers = Arc::clone(customers);
        orders.spawn(async move {
            let token = customers.token(number)?.to_owned();
            let quote = customers.quote(&token).await?;
            let placed = Instant::now();
            let order = customers.place(&token, &quote).await?;
            let confirmed = customers.confirmed(order).await?;
            anyhow::Ok(confirmed.map(|at| at.saturating_duration_since(placed)))
        });
    }
    let (mut confirmed, mut lost, mut times) = (0_u64, 0_u64, Times::new()?);
    for ended in orders.join_all().await {
        match ended? {
            Some(took) => {
                confirmed += 1;
                times.record(took);
            }
            None => lost += 1,
        }
    }
    let took = begun.elapsed();
    killing.abort();
    // It ends by itself only when it cannot go on.
    if let Ok(failed) = killing.await {
        bail!("the second orchestrator could not be started again: {failed:#}");
    }
    let mut row = Row::new(
        Side::Ours,
        "ours.killed",
        "ours, while an orchestrator is killed",
    );
    row.unit = "orders/s".to_owned();
    row.rate = confirmed as f64 / took.as_secs_f64();
    row.rounds = vec![row.rate];
    row.count = confirmed;
    row.latency = times.percentiles();
    row.also("lost", lost);
    row.also("kills", kills.load(Ordering::Relaxed));
    row.also("orders_a_second_sent", pace);
    Ok(row)
}

/// Starts an orchestrator beside the shop's own and kills it, for ever; ends only when that fails.
async fn kill(shop: Arc<Shop>, every: Duration, kills: Arc<AtomicU64>) -> anyhow::Error {
    loop {
        let mut orchestrator = match shop.orchestrator().await {
            Ok(orchestrator) => orchestrator,
            Err(error) => return error,
        };
        tokio::time::sleep(every).await;
        if let Err(error) = orchestrator.kill().await {
            return error.into();
        }
        kills.fetch_add(1, Ordering::Relaxed);
    }
}
