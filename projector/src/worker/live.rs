//! One projection while it is being written: where it is, how fast, and what is not committed yet.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use tracing::Instrument;

use event_schema::{Position, Recorded};

use crate::apply::{Applied, Applier};
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

    /// Takes a batch. `idle` says that nothing more is waiting: then every checkpoint moves to the end at once,
    /// because queries may be waiting for it.
    pub async fn take(
        &mut self,
        pool: &PgPool,
        batch: &[Recorded],
        idle: bool,
        behind: u64,
    ) -> Result<Moved, ApplyError> {
        let fresh = batch.partition_point(|event| event.position <= self.position);
        let batch = batch.get(fresh..).unwrap_or_default();
        let Some(last) = batch.last() else {
            return Ok(Moved::On);
        };
        let concerned = batch
            .iter()
            .any(|event| self.applier.projection.key(event).is_some());
        if !concerned && !idle && self.committed_at.elapsed() < COALESCE {
            self.passed = Some(last.clone());
            return Ok(Moved::On);
        }
        self.commit(pool, batch, behind).await
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
        let seconds = started
            .duration_since(self.committed_at)
            .as_secs_f64()
            .max(0.001);
        let now = batch.len() as f64 / seconds;
        self.rate = if self.rate == 0.0 {
            now
        } else {
            self.rate + RATE_WEIGHT * (now - self.rate)
        };
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
