//! The one writer of all read models: holds the lease, reads the log from the lowest checkpoint, and hands every
//! event to every projection. Whatever goes wrong ends the session; the next one starts from the checkpoints.

mod intake;
mod lease;
mod live;
mod log_check;
mod traced;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use uuid::Uuid;

use event_schema::Recorded;
use event_store::{EventStore, LoadError, SubscribeError};
use service_kit::Shutdown;
use service_kit::problem::Chain;

use crate::apply::{Applier, ResumeError};
use crate::checkpoint::{self, Checkpoint, Passing};
use crate::migrations::{self, SchemaError};
use crate::moves::Moves;
use crate::parking::{self, PARKED_KEYS_MAX};
use crate::personal::Personal;
use crate::projection::{ApplyError, Projection};
use crate::schema::Schema;

pub(crate) use intake::Intake;
#[cfg(test)]
pub(crate) use lease::LEASE;
use lease::{Lease, TAKEOVER_POLL_PERIOD};
use live::{Live, Moved};

/// Most events of one batch.
pub const BATCH_EVENTS_MAX: usize = 2_000;
/// A batch of fewer events has been taken before many of them had come together.
const BATCH_EVENTS_SMALL: usize = 256;
/// After such a one the worker takes breath for half of what it took, and at most so long: events that come
/// one by one share a transaction then, instead of costing the database one for each projection that they concern.
const BREATH_MAX: Duration = Duration::from_millis(10);
/// How often the worker looks whether a person has paused, resumed or swapped something.
const CONTROL_PERIOD: Duration = Duration::from_millis(500);
/// How long the worker waits after a session that failed; grows with every failure in a row.
const RETRY_FIRST_DELAY: Duration = Duration::from_millis(100);
const RETRY_MAX_DELAY: Duration = Duration::from_secs(5);
/// A stopped projection's log is looked at again after this long.
const STOPPED_RECHECK_PERIOD: Duration = Duration::from_secs(30);

/// The worker of one process. Any number may run; one writes.
#[derive(Clone)]
pub struct Worker {
    pool: PgPool,
    store: Arc<dyn EventStore>,
    personal: Personal,
    projections: Vec<Arc<dyn Projection>>,
    moves: Moves,
    holder: Arc<str>,
}

/// What a worker remembers of its projections while it holds the lease.
#[derive(Debug, Default)]
struct Memory {
    /// The generation in which a projection's parked keys were tried again.
    retried: HashMap<&'static str, i64>,
    /// What a projection failed with, and in which generation.
    failed: HashMap<&'static str, (i64, String)>,
}

/// Why a session ended.
#[derive(Debug)]
enum SessionEnd {
    Shutdown,
    LeaseLost,
    /// Checkpoints were moved, paused or resumed beside the worker: begin again from what they say.
    Changed,
}

#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("the schema is not there")]
    Schema(#[from] SchemaError),
    #[error("the log cannot be read")]
    Log(#[from] LoadError),
    #[error("the log cannot be followed")]
    Follow(#[from] SubscribeError),
    #[error("rows cannot be written")]
    Apply(#[from] ApplyError),
    #[error("the database cannot be used")]
    Database(#[from] sqlx::Error),
}

impl From<ResumeError> for SessionError {
    fn from(error: ResumeError) -> Self {
        match error {
            ResumeError::Log(error) => Self::Log(error),
            ResumeError::Apply(error) => Self::Apply(error),
        }
    }
}

impl Worker {
    /// A worker under a name of its own: a process that restarts under the same instance name is another holder.
    /// `pool` should come from [`crate::worker_pool`].
    pub fn new(
        pool: PgPool,
        store: Arc<dyn EventStore>,
        personal: Personal,
        projections: Vec<Arc<dyn Projection>>,
        moves: Moves,
        instance: &str,
    ) -> Self {
        let holder = format!("{instance}/{}", Uuid::now_v7()).into();
        Self {
            pool,
            store,
            personal,
            projections,
            moves,
            holder,
        }
    }

    /// The name it holds the lease under.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Works until the shutdown: as the writer while it holds the lease, waiting for its turn otherwise.
    pub async fn run(self, shutdown: Shutdown) {
        let mut delay = RETRY_FIRST_DELAY;
        while !shutdown.has_begun() {
            match self.turn(&shutdown).await {
                Ok(()) => delay = RETRY_FIRST_DELAY,
                Err(error) => {
                    metrics::counter!("waybill_projector_session_failures_total").increment(1);
                    tracing::warn!(
                        error = %Chain(&error), retry_ms = delay.as_millis() as u64,
                        "the projector begins again from its checkpoints",
                    );
                    pause(&shutdown, delay).await;
                    delay = (delay * 2).min(RETRY_MAX_DELAY);
                }
            }
        }
    }

    /// One try to get the lease, and all sessions while it is held.
    async fn turn(&self, shutdown: &Shutdown) -> Result<(), SessionError> {
        // At every turn: the schema may have been dropped while we waited, and it is made again from nothing.
        migrations::migrate(&self.pool).await?;
        if !lease::acquire(&self.pool, &self.holder).await? {
            pause(shutdown, TAKEOVER_POLL_PERIOD).await;
            return Ok(());
        }
        tracing::info!(
            holder = &*self.holder,
            "this replica writes the read models"
        );
        metrics::gauge!("waybill_projector_is_writer").set(1.0);
        let lease = Lease::keep(self.pool.clone(), Arc::clone(&self.holder));
        let mut memory = Memory::default();
        let ended = loop {
            match self.session(&lease, shutdown, &mut memory).await {
                Ok(SessionEnd::Changed) => {}
                Ok(SessionEnd::Shutdown | SessionEnd::LeaseLost) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        metrics::gauge!("waybill_projector_is_writer").set(0.0);
        lease.release().await;
        ended
    }

    /// From the checkpoints to the first thing that makes it begin again.
    async fn session(
        &self,
        lease: &Lease,
        shutdown: &Shutdown,
        memory: &mut Memory,
    ) -> Result<SessionEnd, SessionError> {
        let log = log_check::look(&*self.store).await?;
        let appliers = self.appliers(&log.identity);
        self.judge(&log, &appliers, memory).await?;
        let start = self.checkpoints().await?;
        let mut live: Vec<Live> = appliers
            .into_iter()
            .filter_map(|applier| {
                let checkpoint = start
                    .iter()
                    .find(|c| c.projection == applier.projection.name())?;
                checkpoint
                    .runs()
                    .then(|| Live::new(applier, checkpoint.position.0))
            })
            .collect();
        let Some(lowest) = live.iter().map(Live::position).min() else {
            return self.wait_for_change(&start, lease, shutdown, memory).await;
        };
        let mut intake = Intake::new(self.store.subscribe(lowest, &["evt.>"]).await?);
        let mut control = tokio::time::interval(CONTROL_PERIOD);
        let mut recheck = tokio::time::interval_at(
            tokio::time::Instant::now() + STOPPED_RECHECK_PERIOD,
            STOPPED_RECHECK_PERIOD,
        );
        let mut next_batch_from = tokio::time::Instant::now();
        let any_stopped = start.iter().any(|checkpoint| checkpoint.stopped.is_some());
        loop {
            // Only waiting is interrupted; a batch that has begun is committed before anything else happens.
            let batch = tokio::select! {
                biased;
                () = shutdown.begun() => return Ok(SessionEnd::Shutdown),
                () = lease.lost() => return Ok(SessionEnd::LeaseLost),
                _ = control.tick() => {
                    if changed(&start, &self.checkpoints().await?) {
                        return Ok(SessionEnd::Changed);
                    }
                    for one in &mut live {
                        if let Moved::Overtaken = one.flush(&self.pool).await? {
                            return Ok(SessionEnd::Changed);
                        }
                    }
                    self.moves.announce();
                    continue;
                }
                _ = recheck.tick(), if any_stopped => {
                    memory.failed.clear();
                    return Ok(SessionEnd::Changed);
                }
                batch = next(&mut intake, next_batch_from) => batch?,
            };
            let idle = intake.caught_up();
            let behind = intake.behind();
            let begun = tokio::time::Instant::now();
            let (mut concerned, mut others): (Vec<&mut Live>, Vec<&mut Live>) =
                live.iter_mut().partition(|one| one.is_concerned(&batch));
            let taken = futures::future::join_all(
                concerned
                    .iter_mut()
                    .map(|one| one.take(&self.pool, &batch, behind)),
            );
            let passed = self.let_pass(&mut others, &batch, &log.identity, idle, behind);
            let (moves, passed) = futures::join!(taken, passed);
            self.moves.announce();
            let took = begun.elapsed();
            if batch.len() < BATCH_EVENTS_SMALL {
                next_batch_from = begun + took + (took / 2).min(BREATH_MAX);
            }
            let mut end = match passed? {
                Moved::On => None,
                Moved::Overtaken => Some(SessionEnd::Changed),
            };
            for (one, moved) in concerned.iter().zip(moves) {
                match moved {
                    Ok(Moved::On) => {}
                    Ok(Moved::Overtaken) => end = Some(SessionEnd::Changed),
                    // One projection's trouble is not the others': it stops, and they go on without it.
                    Err(error) if error.is_its_own_fault() => {
                        let generation = start
                            .iter()
                            .find(|c| c.projection == one.name())
                            .map_or(0, |c| c.generation);
                        memory
                            .failed
                            .insert(one.name(), (generation, Chain(&error).to_string()));
                        end = Some(SessionEnd::Changed);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    /// Moves the checkpoints of those whom a batch does not concern.
    async fn let_pass(
        &self,
        others: &mut [&mut Live],
        batch: &[Recorded],
        log: &str,
        idle: bool,
        behind: u64,
    ) -> Result<Moved, sqlx::Error> {
        let Some(last) = batch.last() else {
            return Ok(Moved::On);
        };
        let steps: Vec<Option<Passing>> = others
            .iter_mut()
            .map(|one| one.let_pass(batch, idle))
            .collect();
        let passing: Vec<Passing> = steps.iter().flatten().copied().collect();
        if passing.is_empty() {
            return Ok(Moved::On);
        }
        let mut connection = self.pool.acquire().await?;
        let to = (last.position, last.event_id);
        let passed = checkpoint::pass(
            &mut connection,
            &Schema::LIVE,
            &self.holder,
            to,
            log,
            &passing,
        )
        .await?;
        for (one, step) in others.iter_mut().zip(steps) {
            let Some(step) = step else { continue };
            if passed.iter().any(|name| name == step.projection) {
                one.has_passed(step, last.position, behind);
            }
        }
        Ok(match passed.len() == passing.len() {
            true => Moved::On,
            false => Moved::Overtaken,
        })
    }

    /// Decides which projections may go on: not one whose rows do not belong to the log, nor one whose rows cannot be
    /// written, nor one that parks more and more.
    async fn judge(
        &self,
        log: &log_check::LogSeen,
        appliers: &[Applier],
        memory: &mut Memory,
    ) -> Result<(), SessionError> {
        let names: Vec<&str> = appliers
            .iter()
            .map(|applier| applier.projection.name())
            .collect();
        let mut connection = self.pool.acquire().await?;
        checkpoint::ensure(&mut connection, &Schema::LIVE, &names).await?;
        let checkpoints = checkpoint::all(&mut connection, &Schema::LIVE).await?;
        for applier in appliers {
            let name = applier.projection.name();
            let Some(checkpoint) = checkpoints
                .iter()
                .find(|checkpoint| checkpoint.projection == name)
            else {
                continue;
            };
            let why = match log_check::mismatch(&*self.store, log, checkpoint).await? {
                Some(why) => Some(why),
                None => match memory.failed.get(name) {
                    Some((generation, why)) if *generation == checkpoint.generation => {
                        Some(format!(
                            "its rows cannot be written: {why}; it is tried again every {} s, or at once after \
                         `waybill projections resume {name}`",
                            STOPPED_RECHECK_PERIOD.as_secs()
                        ))
                    }
                    _ => {
                        self.look_at_parked(applier, checkpoint.generation, memory)
                            .await?
                    }
                },
            };
            if let Some(why) = &why
                && checkpoint.stopped.as_ref() != Some(why)
            {
                tracing::error!(projection = name, why, "projection stopped");
            }
            checkpoint::set_stopped(&mut connection, &Schema::LIVE, name, why.as_deref()).await?;
        }
        Ok(())
    }

    /// Tries what is parked again, once in this turn and whenever a person asks for it: another build, or a key that
    /// was missing, may have cured it. Says why the projection must stop when too much stays parked.
    async fn look_at_parked(
        &self,
        applier: &Applier,
        generation: i64,
        memory: &mut Memory,
    ) -> Result<Option<String>, SessionError> {
        let name = applier.projection.name();
        let mut connection = self.pool.acquire().await?;
        if memory.retried.insert(name, generation) != Some(generation) {
            for parked in parking::list(&mut connection, &Schema::LIVE, name).await? {
                match applier.resume(&self.pool, &*self.store, parked.key).await {
                    Ok(resumed) => {
                        tracing::info!(projection = name, key = %parked.key, ?resumed, "parked key tried again");
                    }
                    Err(ResumeError::Apply(error)) if error.is_its_own_fault() => {
                        tracing::warn!(projection = name, key = %parked.key, error = %Chain(&error), "stays parked");
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let left = parking::count(&mut connection, &Schema::LIVE, name).await?;
        metrics::gauge!("waybill_projector_parked", "projection" => name).set(left as f64);
        Ok((left > PARKED_KEYS_MAX).then(|| parking::too_many(name)))
    }

    fn appliers(&self, log: &str) -> Vec<Applier> {
        let log: Arc<str> = log.into();
        self.projections
            .iter()
            .map(|projection| Applier {
                projection: Arc::clone(projection),
                schema: Schema::LIVE,
                personal: self.personal.clone(),
                holder: Arc::clone(&self.holder),
                log: Arc::clone(&log),
            })
            .collect()
    }

    async fn checkpoints(&self) -> Result<Vec<Checkpoint>, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        checkpoint::all(&mut connection, &Schema::LIVE).await
    }

    /// Nothing may be written: everything is paused or stopped.
    async fn wait_for_change(
        &self,
        start: &[Checkpoint],
        lease: &Lease,
        shutdown: &Shutdown,
        memory: &mut Memory,
    ) -> Result<SessionEnd, SessionError> {
        let until = tokio::time::Instant::now() + STOPPED_RECHECK_PERIOD;
        loop {
            tokio::select! {
                () = shutdown.begun() => return Ok(SessionEnd::Shutdown),
                () = lease.lost() => return Ok(SessionEnd::LeaseLost),
                () = tokio::time::sleep(CONTROL_PERIOD) => {}
            }
            if tokio::time::Instant::now() >= until {
                memory.failed.clear();
                return Ok(SessionEnd::Changed);
            }
            if changed(start, &self.checkpoints().await?) {
                return Ok(SessionEnd::Changed);
            }
        }
    }
}

/// Whether a person or a rebuild has done something that the session does not know of.
fn changed(start: &[Checkpoint], now: &[Checkpoint]) -> bool {
    let told = |checkpoint: &Checkpoint| {
        (
            checkpoint.projection.clone(),
            checkpoint.runs(),
            checkpoint.generation,
        )
    };
    !start.iter().map(told).eq(now.iter().map(told))
}

/// The next batch, not before a moment. May be dropped at any await, as what it waits for.
async fn next(
    intake: &mut Intake,
    from: tokio::time::Instant,
) -> Result<Vec<Recorded>, SubscribeError> {
    tokio::time::sleep_until(from).await;
    intake.next_batch(BATCH_EVENTS_MAX).await
}

async fn pause(shutdown: &Shutdown, time: Duration) {
    tokio::select! {
        () = shutdown.begun() => {}
        () = tokio::time::sleep(time) => {}
    }
}
