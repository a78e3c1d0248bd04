//! One projection while it is being written: where it is, how fast, and what is not committed yet.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use tracing::Instrument;

use event_schema::{Position, Recorded};

use crate::apply::{Applied, Applier};
use crate::checkpoint::Passing;
use crate::projection::ApplyError;

use super::traced::BatchTraces;

/// While the log is busy with what does not concern a projection, its checkpoint moves this often.
const COALESCE: Duration = Duration::from_millis(250);
/// How much of the rate of the moment counts in the rate that is shown.
const RATE_WEIGHT: f64 = 0.2;

pub(super) struct Live {
    applier: Applier,
    /// Committed.
    position: Position,
    /// The newest event seen that concerns nothing here; its position is not committed yet.
    passed: Option<Recorded>,
    committed_at: Instant,
    rate: f64,
}

pub(super) enum Moved {
    On,
    /// The checkpoint is not where we left it, or may not move.
    Overtaken,
}

impl Live {
    pub fn new(applier: Applier, position: Position) -> Self {
        Self {
            applier,
            position,
            passed: None,
            committed_at: Instant::now(),
            rate: 0.0,
        }
    }

    pub fn name(&self) -> &'static str {
        self.applier.projection.name()
    }

    pub fn position(&self) -> Position {
        self.position
    }

    /// The events of a batch that it has not seen yet.
    fn fresh<'a>(&self, batch: &'a [Recorded]) -> &'a [Recorded] {
        let fresh = batch.partition_point(|event| event.position <= self.position);
        batch.get(fresh..).unwrap_or_default()
    }

    /// Whether a batch holds anything for it.
    pub fn is_concerned(&self, batch: &[Recorded]) -> bool {
        let mut fresh = self.fresh(batch).iter();
        fresh.any(|event| self.applier.projection.key(event).is_some())
    }

    /// Takes a batch that concerns it.
    pub async fn take(
        &mut self,
        pool: &PgPool,
        batch: &[Recorded],
        behind: u64,
    ) -> Result<Moved, ApplyError> {
        self.commit(pool, self.fresh(batch), behind).await
    }

    /// Lets a batch pass that does not concern it; the step that its checkpoint should take, if it should. `idle` says
    /// that nothing more is waiting: then every checkpoint moves to the end at once, because queries may be waiting.
    pub fn let_pass(&mut self, batch: &[Recorded], idle: bool) -> Option<Passing> {
        let fresh = self.fresh(batch);
        let last = fresh.last()?;
        if !idle && self.committed_at.elapsed() < COALESCE {
            self.passed = Some(last.clone());
            return None;
        }
        Some(Passing {
            projection: self.name(),
            from: self.position,
            rate: self.rate_with(fresh.len(), Instant::now()),
        })
    }

    /// The step was taken.
    pub fn has_passed(&mut self, Passing { rate, .. }: Passing, to: Position, behind: u64) {
        let name = self.name();
        self.rate = rate;
        self.position = to;
        self.passed = None;
        self.committed_at = Instant::now();
        metrics::gauge!("waybill_projector_position", "projection" => name).set(to.0 as f64);
        metrics::gauge!("waybill_projector_lag", "projection" => name).set(behind as f64);
    }

    /// Events a second, when so many more have come.
    fn rate_with(&self, events: usize, now: Instant) -> f64 {
        let since = now.duration_since(self.committed_at);
        let now = events as f64 / since.as_secs_f64().max(0.001);
        if self.rate == 0.0 {
            now
        } else {
            self.rate + RATE_WEIGHT * (now - self.rate)
        }
    }

    /// Commits what was only passed by, when nothing else came to commit it with.
    pub async fn flush(&mut self, pool: &PgPool) -> Result<Moved, ApplyError> {
        match self.passed.take() {
            Some(passed) => self.commit(pool, std::slice::from_ref(&passed), 0).await,
            None => Ok(Moved::On),
        }
    }

    async fn commit(
        &mut self,
        pool: &PgPool,
        batch: &[Recorded],
        behind: u64,
    ) -> Result<Moved, ApplyError> {
        let name = self.applier.projection.name();
        let started = Instant::now();
        self.rate = self.rate_with(batch.len(), started);
        let concerning = batch
            .iter()
            .filter(|event| self.applier.projection.key(event).is_some());
        let traces = BatchTraces::of(name, concerning, batch.len());
        let applied = self
            .applier
            .apply(pool, self.position, batch, self.rate)
            .instrument(traces.span())
            .await?;
        drop(traces);
        match applied {
            Applied::Committed { events, parked } => {
                if let Some(last) = batch.last() {
                    self.position = last.position;
                }
                self.passed = None;
                self.committed_at = started;
                metrics::counter!("waybill_projector_events_total", "projection" => name)
                    .increment(events as u64);
                metrics::gauge!("waybill_projector_position", "projection" => name)
                    .set(self.position.0 as f64);
                metrics::gauge!("waybill_projector_lag", "projection" => name).set(behind as f64);
                metrics::histogram!("waybill_projector_batch_seconds", "projection" => name)
                    .record(started.elapsed().as_secs_f64());
                if parked > 0 {
                    metrics::gauge!("waybill_projector_parked", "projection" => name)
                        .increment(parked as f64);
                }
                Ok(Moved::On)
            }
            Applied::TakenOver | Applied::Stopped => Ok(Moved::Overtaken),
        }
    }
}
