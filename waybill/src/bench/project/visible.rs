//! How soon a command's row is seen by a query, under a steady trickle of commands.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;
use event_schema::Position;
use event_store::Executor;
use sqlx::PgPool;
use tokio::sync::watch;
use uuid::Uuid;

use super::catch_up::CatchUp;
use crate::bench::report::{Row, Side};
use crate::bench::times::Times;
use crate::bench::trickle::{Trickled, receive, trickle};

/// The projection whose rows the commands change.
const PROJECTION: &str = "inventory";
const PRODUCTS: usize = 200;
/// Between two looks; what is told is at most this and one look too long.
const LOOK_PERIOD: Duration = Duration::from_micros(500);
/// After the last command, all rows are seen within this.
const LAST_ROW_LIMIT: Duration = Duration::from_secs(30);

/// A command whose row is not seen yet: when it should have been sent, and when it was answered.
type Waiting = Arc<Mutex<BTreeMap<Position, (Instant, Instant)>>>;

/// Sends commands at a steady rate to a worker that has caught up. Two rows: from the command, and from its answer.
pub async fn measure(
    worker: &mut CatchUp,
    pool: &PgPool,
    executor: &Executor,
    rate: u32,
    time: Duration,
) -> anyhow::Result<Vec<Row>> {
    let running = worker.start(projector::worker_pool(pool));
    let end = executor.store().end().await?.position;
    let seen = match worker.reached(end).await {
        Ok(()) => watched(pool, executor, rate, time).await,
        Err(error) => Err(error),
    };
    running.end().await?;
    let Seen {
        commands,
        took,
        from_command,
        from_answer,
    } = seen?;
    let row = |id: &str, title: &str, times: Times| {
        let mut row = Row::new(Side::Ours, id, title);
        row.unit = "commands/s".to_owned();
        row.rate = commands as f64 / took.as_secs_f64();
        row.rounds = vec![row.rate];
        row.count = commands;
        row.latency = times.percentiles();
        row.also("wanted_commands_per_second", rate);
        row
    };
    Ok(vec![
        row(
            "ours.visible",
            "ours, from a command to its row",
            from_command,
        ),
        row(
            "ours.visible.answered",
            "ours, from its answer to its row",
            from_answer,
        ),
    ])
}

struct Seen {
    commands: u64,
    took: Duration,
    from_command: Times,
    from_answer: Times,
}

async fn watched(
    pool: &PgPool,
    executor: &Executor,
    rate: u32,
    time: Duration,
) -> anyhow::Result<Seen> {
    let products: Vec<Uuid> = (0..PRODUCTS).map(|_| Uuid::now_v7()).collect();
    for product in &products {
        receive(executor, *product).await?;
    }
    let waiting = Waiting::default();
    let (all_sent, sent) = watch::channel(false);
    let looking = tokio::spawn(look(pool.clone(), Arc::clone(&waiting), sent));
    let mut products = products.iter().copied().cycle();
    let sent = trickle(rate, time, |_, due| {
        let product = products.next().unwrap_or_default();
        let (executor, waiting) = (executor.clone(), Arc::clone(&waiting));
        async move {
            let position = receive(&executor, product).await?;
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.insert(position, (due, Instant::now()));
            Ok(())
        }
    });
    let Trickled { commands, took, .. } = sent.await?;
    all_sent.send_replace(true);
    let (from_command, from_answer) = looking.await??;
    Ok(Seen {
        commands,
        took,
        from_command,
        from_answer,
    })
}

/// Asks the database what a query would see: rows and checkpoint are committed together.
async fn look(
    pool: PgPool,
    waiting: Waiting,
    mut all_sent: watch::Receiver<bool>,
) -> anyhow::Result<(Times, Times)> {
    let (mut from_command, mut from_answer) = (Times::new()?, Times::new()?);
    let mut connection = pool.acquire().await?;
    let mut give_up = None;
    loop {
        let position: i64 =
            sqlx::query_scalar("select position from read.checkpoint where projection = $1")
                .bind(PROJECTION)
                .fetch_one(&mut *connection)
                .await?;
        let now = Instant::now();
        let (seen, nothing_left) = take_seen(&waiting, Position(u64::try_from(position)?));
        for (due, answered) in seen.into_values() {
            from_command.record(now.saturating_duration_since(due));
            from_answer.record(now.saturating_duration_since(answered));
        }
        if *all_sent.borrow_and_update() {
            if nothing_left {
                return Ok((from_command, from_answer));
            }
            let until = *give_up.get_or_insert(now + LAST_ROW_LIMIT);
            if now > until {
                bail!("rows were not seen within {} s", LAST_ROW_LIMIT.as_secs());
            }
        }
        tokio::time::sleep(LOOK_PERIOD).await;
    }
}

/// Those whose rows are there, and whether that were all.
fn take_seen(
    waiting: &Waiting,
    position: Position,
) -> (BTreeMap<Position, (Instant, Instant)>, bool) {
    let mut open = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let later = open.split_off(&Position(position.0.saturating_add(1)));
    let seen = std::mem::replace(&mut *open, later);
    (seen, open.is_empty())
}
