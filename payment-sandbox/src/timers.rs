//! What happens by the passing of time alone: sessions expire, pending things settle, old records go.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{Sandbox, error::Failure, idempotency, intent, refund, session};

const TICK: Duration = Duration::from_millis(250);
/// After a failure the ledger is given a moment.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(2);
const CLEAN_EVERY: Duration = Duration::from_secs(600);
/// Stripe lists events for 30 days; calls are kept as long.
const RECORDS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Runs until `shutdown` fires. Several sandboxes may do it at once: each change is decided under its row's lock.
pub(crate) async fn run(sandbox: &Sandbox, shutdown: &CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut clean_next = Instant::now();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        // Not raced against the shutdown: a tick is short, and its transactions are not to be torn.
        if let Err(failure) = tick(sandbox, &mut clean_next).await {
            tracing::warn!(
                error = &failure as &dyn std::error::Error,
                "time could not pass in the ledger"
            );
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(PAUSE_AFTER_FAILURE) => {}
            }
        }
    }
}

async fn tick(sandbox: &Sandbox, clean_next: &mut Instant) -> Result<(), Failure> {
    session::expire_overdue(sandbox).await?;
    intent::settle_due(sandbox).await?;
    refund::settle_due(sandbox).await?;
    if Instant::now() >= *clean_next {
        clean(sandbox).await?;
        *clean_next = Instant::now() + CLEAN_EVERY;
    }
    Ok(())
}

/// The ledger proper is kept for good; what only explains it has an end.
async fn clean(sandbox: &Sandbox) -> Result<(), sqlx::Error> {
    let now = Timestamp::now();
    sqlx::query("delete from sandbox.idempotency_keys where created_at <= $1")
        .bind((now - idempotency::KEPT).to_sqlx())
        .execute(sandbox.pool())
        .await?;
    sqlx::query("delete from sandbox.events where created_at <= $1")
        .bind((now - RECORDS_KEPT).to_sqlx())
        .execute(sandbox.pool())
        .await?;
    sqlx::query("delete from sandbox.calls where received_at <= $1")
        .bind((now - RECORDS_KEPT).to_sqlx())
        .execute(sandbox.pool())
        .await?;
    Ok(())
}
