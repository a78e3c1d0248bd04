//! The lease: one row in Postgres says who writes. Whoever holds it renews it; whoever finds it expired takes it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use service_kit::problem::Chain;

/// How long the lease is good without being renewed.
pub const LEASE: Duration = Duration::from_secs(5);
/// How often the holder renews it: three tries within its time.
const RENEW_PERIOD: Duration = Duration::from_millis(1_500);
/// How often the others look; with [`LEASE`] this bounds a takeover.
pub const TAKEOVER_POLL_PERIOD: Duration = Duration::from_secs(1);
/// A renewal that hangs is as bad as one that fails.
const RENEW_TIMEOUT: Duration = Duration::from_secs(2);
/// The one row there is.
const NAME: &str = "worker";

/// Takes the lease if nobody holds it. By the database's clock, so that the clocks of replicas do not matter.
pub(super) async fn acquire(pool: &PgPool, holder: &str) -> Result<bool, sqlx::Error> {
    let taken = sqlx::query(
        "insert into read.projector_lease as lease (name, holder, until)
         values ($1, $2, clock_timestamp() + make_interval(secs => $3))
         on conflict (name) do update set holder = excluded.holder, until = excluded.until
         where lease.until < clock_timestamp() or lease.holder = excluded.holder",
    )
    .bind(NAME)
    .bind(holder)
    .bind(LEASE.as_secs_f64())
    .execute(pool)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Gives the lease back, so that another replica need not wait for its end.
async fn release(pool: &PgPool, holder: &str) -> Result<(), sqlx::Error> {
    sqlx::query("delete from read.projector_lease where name = $1 and holder = $2")
        .bind(NAME)
        .bind(holder)
        .execute(pool)
        .await
        .map(drop)
}

/// A lease that is held and renewed in the background until it is dropped, released or lost.
pub(super) struct Lease {
    pool: PgPool,
    holder: Arc<str>,
    lost: watch::Receiver<bool>,
    keeper: JoinHandle<()>,
}

impl Lease {
    /// Renews a lease that was just acquired.
    pub fn keep(pool: PgPool, holder: Arc<str>) -> Self {
        let (say, lost) = watch::channel(false);
        let keeper = tokio::spawn(renew(pool.clone(), Arc::clone(&holder), say));
        Self {
            pool,
            holder,
            lost,
            keeper,
        }
    }

    /// Returns when the lease is lost.
    pub async fn lost(&self) {
        let mut lost = self.lost.clone();
        // The keeper ends only after it has said so, or because the lease was dropped.
        let _ended = lost.wait_for(|lost| *lost).await;
    }

    /// Ends the renewing and gives the lease back.
    pub async fn release(self) {
        self.keeper.abort();
        if let Err(error) = release(&self.pool, &self.holder).await {
            tracing::debug!(error = %Chain(&error), "the lease was not given back; it runs out by itself");
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn renew(pool: PgPool, holder: Arc<str>, lost: watch::Sender<bool>) {
    let mut good_until = Instant::now() + LEASE;
    loop {
        tokio::time::sleep(RENEW_PERIOD).await;
        let asked = Instant::now();
        match tokio::time::timeout(RENEW_TIMEOUT, acquire(&pool, &holder)).await {
            Ok(Ok(true)) => good_until = asked + LEASE,
            Ok(Ok(false)) => {
                tracing::warn!(
                    holder = &*holder,
                    "another replica has taken the projector's lease"
                );
                break;
            }
            Ok(Err(error)) => {
                tracing::warn!(error = %Chain(&error), "the projector's lease was not renewed")
            }
            Err(_) => tracing::warn!("the projector's lease was not renewed in time"),
        }
        if Instant::now() >= good_until {
            tracing::warn!(holder = &*holder, "the projector's lease ran out");
            break;
        }
    }
    lost.send_replace(true);
}
