//! The projector's own worker, from an empty read model to the end of the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use async_trait::async_trait;
use event_schema::Position;
use event_store::EventStore;
use projector::projection::Projection;
use projector::worker::Worker;
use projector::{Moves, Personal};
use service_kit::Shutdown;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::task::JoinHandle;

use super::log::Log;
use crate::bench::ground;
use crate::bench::race::{Contestant, Sample};

/// The worker's lease and a look at the checkpoints, beside a connection for each projection.
const CONNECTIONS_BESIDES: usize = 2;
const LOOK_PERIOD: Duration = Duration::from_millis(4);
/// A log that a bench has made is projected within this, on any machine.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(600);
/// A closed connection has told the database's statistics what it wrote within this.
const STATISTICS_LIMIT: Duration = Duration::from_secs(3);
const STATISTICS_PERIOD: Duration = Duration::from_millis(25);

/// One or more projections, catching up.
pub struct CatchUp {
    pool: PgPool,
    store: Arc<dyn EventStore>,
    personal: Personal,
    projections: Vec<Arc<dyn Projection>>,
    log: Log,
}

/// What it took.
pub struct Through {
    pub took: Duration,
    /// Rows that were written; one that several batches wrote counts as often.
    pub rows: u64,
}

/// A worker that runs.
pub struct Running {
    shutdown: Shutdown,
    worker: JoinHandle<()>,
    pool: PgPool,
}

impl Running {
    /// Ends it, with its connections.
    pub async fn end(self) -> anyhow::Result<()> {
        self.shutdown.begin();
        self.worker.await?;
        self.pool.close().await;
        Ok(())
    }
}

impl CatchUp {
    pub fn new(
        pool: &PgPool,
        store: &Arc<dyn EventStore>,
        personal: &Personal,
        projections: Vec<Arc<dyn Projection>>,
        log: &Log,
    ) -> Self {
        Self {
            pool: pool.clone(),
            store: Arc::clone(store),
            personal: personal.clone(),
            projections,
            log: log.clone(),
        }
    }

    /// Empties the read models and fills them anew.
    pub async fn through(&mut self) -> anyhow::Result<Through> {
        self.empty().await?;
        let before = self.written().await?;
        let pool = projector::worker_pool(&self.pool);
        ground::warm(&pool, self.projections.len() + CONNECTIONS_BESIDES).await?;
        let begun = Instant::now();
        let running = self.start(pool);
        let reached = self.reached(self.log.end).await;
        let took = begun.elapsed();
        running.end().await?;
        reached?;
        self.none_is_parked().await?;
        Ok(Through {
            took,
            rows: self.written_since(before).await?,
        })
    }

    /// Starts the worker where the read models stand.
    pub fn start(&self, pool: PgPool) -> Running {
        let worker = Worker::new(
            pool.clone(),
            Arc::clone(&self.store),
            self.personal.clone(),
            self.projections.clone(),
            Moves::default(),
            "bench",
        );
        let shutdown = Shutdown::new();
        let worker = tokio::spawn(worker.run(shutdown.clone()));
        Running {
            shutdown,
            worker,
            pool,
        }
    }

    /// Waits until every projection has come so far.
    pub async fn reached(&self, end: Position) -> anyhow::Result<()> {
        let names: Vec<&str> = self
            .projections
            .iter()
            .map(|projection| projection.name())
            .collect();
        let until = Instant::now() + CATCH_UP_LIMIT;
        loop {
            let (there, stopped): (i64, Option<String>) = sqlx::query_as(
                "select count(*) filter (where position >= $2 and log <> ''), max(stopped)
                 from read.checkpoint where projection = any($1)",
            )
            .bind(&names)
            .bind(i64::try_from(end.0)?)
            .fetch_one(&self.pool)
            .await?;
            if let Some(why) = stopped {
                bail!("a projection stopped: {why}");
            }
            if usize::try_from(there).is_ok_and(|there| there == names.len()) {
                return Ok(());
            }
            if Instant::now() > until {
                bail!(
                    "the projections did not reach position {end} within {} s",
                    CATCH_UP_LIMIT.as_secs()
                );
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }

    async fn empty(&self) -> anyhow::Result<()> {
        for table in projector::read_models::all()
            .iter()
            .flat_map(|projection| projection.tables())
        {
            sqlx::query(AssertSqlSafe(format!("truncate read.{}", table.name)))
                .execute(&self.pool)
                .await?;
        }
        for bookkeeping in ["checkpoint", "parked", "projector_lease"] {
            sqlx::query(AssertSqlSafe(format!("delete from read.{bookkeeping}")))
                .execute(&self.pool)
                .await?;
        }
        Ok(())
    }

    async fn none_is_parked(&self) -> anyhow::Result<()> {
        let parked: Option<(String, String)> =
            sqlx::query_as("select projection, cause from read.parked limit 1")
                .fetch_optional(&self.pool)
                .await?;
        match parked {
            Some((projection, cause)) => {
                bail!("{projection} has parked an event of the bench: {cause}")
            }
            None => Ok(()),
        }
    }

    /// Rows that the tables' statistics know of; they are told when a connection ends.
    async fn written(&self) -> anyhow::Result<i64> {
        let tables: Vec<&str> = self
            .projections
            .iter()
            .flat_map(|projection| projection.tables())
            .map(|table| table.name)
            .collect();
        Ok(sqlx::query_scalar(
            "select coalesce(sum(n_tup_ins + n_tup_upd), 0)::bigint from pg_stat_user_tables
             where schemaname = 'read' and relname = any($1)",
        )
        .bind(&tables)
        .fetch_one(&self.pool)
        .await?)
    }

    async fn written_since(&self, before: i64) -> anyhow::Result<u64> {
        let until = Instant::now() + STATISTICS_LIMIT;
        let mut last = before;
        loop {
            tokio::time::sleep(STATISTICS_PERIOD).await;
            let now = self.written().await?;
            if now > before && now == last || Instant::now() > until {
                return Ok(u64::try_from(now - before)?);
            }
            last = now;
        }
    }
}

#[async_trait]
impl Contestant for CatchUp {
    async fn run(&mut self, _: Duration) -> anyhow::Result<Sample> {
        let through = self.through().await?;
        let relevant = self
            .projections
            .iter()
            .map(|projection| self.log.relevant(projection.name()))
            .sum();
        Ok(Sample {
            took: through.took,
            amounts: vec![
                ("events", relevant),
                ("rows", through.rows),
                ("log events", self.log.events),
            ],
            times: None,
        })
    }
}
