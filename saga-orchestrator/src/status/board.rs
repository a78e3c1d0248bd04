//! Writes what is shown of sagas: coalesced to 200 ms, never back to an older position, whoever else writes too.
//!
//! It also knows how far the bucket is complete: the position up to which every event of a share has been worked by its
//! owner, and what came of it written. A takeover reads the log from there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::kv::{Operation, Store};
use event_schema::fulfilment::Cause;
use event_schema::{Position, Timestamp};
use event_store::EventStore;
use futures::{StreamExt, stream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Buckets, Completeness, SagaStatus, Verdict, ascii, completeness, status_key};
use crate::runner::Share;

/// How often what has changed is written.
const FLUSH_PERIOD: Duration = Duration::from_millis(200);
/// How often the completeness of a share is written, at most.
const COMPLETE_PERIOD_FLUSHES: u32 = 10;
/// How long an orderly end waits for the last writes.
const LAST_FLUSH_MAX: Duration = Duration::from_secs(2);
const WRITES_AT_ONCE: usize = 16;
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Most offenders that are remembered; so many tell the same as more.
const OFFENDERS_KEPT_MAX: usize = 10_000;
/// A key that is contended more often than this is written with the next flush.
const WRITE_TRIES_MAX: u32 = 4;

/// What was written of a saga last.
#[derive(Debug, Clone, Copy)]
struct Written {
    revision: u64,
    position: u64,
    verdict: Verdict,
    cause: Option<Cause>,
    since: Timestamp,
    /// Whether a build that knows the same events as this one has worked it up to there.
    is_read: bool,
}

/// How far a share is complete: its owner tells how far it has worked, and all of that has to be written too.
#[derive(Debug, Default, Clone, Copy)]
struct Progress {
    worked: Position,
    shown: Position,
    written: Position,
}

#[derive(Debug, Default)]
struct Desk {
    pending: HashMap<Uuid, SagaStatus>,
    /// Sagas that have not ended, as they were written last.
    written: HashMap<Uuid, Written>,
    shares: BTreeMap<Share, Progress>,
    /// Sagas that do not balance, with what was found in words.
    offenders: HashMap<Uuid, Vec<&'static str>>,
    /// The newest event of a saga up to which its balance was looked at.
    audited_to: Position,
}

/// What the continuous check has found in the sagas of our shares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audited {
    /// Sagas that do not balance.
    pub offenders: usize,
    /// The same by what was found.
    pub findings: BTreeMap<&'static str, usize>,
    /// The newest event of a saga that was looked at.
    pub position: Position,
}

/// The writer of both buckets.
#[derive(Debug)]
pub struct Board {
    buckets: Buckets,
    desk: Mutex<Desk>,
}

impl Board {
    /// A board over the buckets; [`Board::run`] does the writing.
    pub fn new(buckets: Buckets) -> Self {
        Self {
            buckets,
            desk: Mutex::default(),
        }
    }

    /// The buckets underneath.
    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// A share is ours; everything up to this position is shown already.
    pub fn begin(&self, share: Share, from: Position) {
        self.desk().shares.insert(
            share,
            Progress {
                worked: from,
                shown: from,
                written: from,
            },
        );
    }

    /// A share is not ours any more: its completeness is somebody else's to tell.
    pub fn end(&self, share: Share) {
        let mut desk = self.desk();
        desk.shares.remove(&share);
        desk.pending.retain(|order, _| Share::of(*order) != share);
        desk.written.retain(|order, _| Share::of(*order) != share);
        desk.offenders.retain(|order, _| Share::of(*order) != share);
    }

    /// A saga's balance was looked at; whether it is an offender that was none before.
    pub fn audited(&self, order: Uuid, position: Position, findings: Vec<&'static str>) -> bool {
        let mut desk = self.desk();
        if !desk.shares.contains_key(&Share::of(order)) {
            return false;
        }
        desk.audited_to = desk.audited_to.max(position);
        if findings.is_empty() {
            desk.offenders.remove(&order);
            return false;
        }
        if desk.offenders.len() >= OFFENDERS_KEPT_MAX && !desk.offenders.contains_key(&order) {
            return false;
        }
        desk.offenders.insert(order, findings).is_none()
    }

    /// What the continuous check has found so far.
    pub fn audit(&self) -> Audited {
        let desk = self.desk();
        let mut findings = BTreeMap::new();
        for found in desk.offenders.values() {
            for finding in found {
                *findings.entry(*finding).or_default() += 1;
            }
        }
        Audited {
            offenders: desk.offenders.len(),
            findings,
            position: desk.audited_to,
        }
    }

    /// Every event of a share up to here was worked, and what came of it was put up.
    pub fn worked_to(&self, share: Share, position: Position) {
        if let Some(progress) = self.desk().shares.get_mut(&share) {
            progress.worked = progress.worked.max(position);
        }
    }

    /// Something new is known of a saga.
    pub fn put(&self, shown: SagaStatus) {
        let mut desk = self.desk();
        if !desk.shares.contains_key(&Share::of(shown.id)) {
            return;
        }
        match desk.pending.get_mut(&shown.id) {
            Some(waiting) if waiting.position > shown.position => {}
            Some(waiting) => *waiting = shown,
            None => {
                desk.pending.insert(shown.id, shown);
            }
        }
    }

    /// Open sagas by verdict: how many, and since when the one that has stood still longest stands as it does.
    pub fn open_sagas(&self) -> BTreeMap<Verdict, (usize, Timestamp)> {
        let desk = self.desk();
        let mut by_verdict = BTreeMap::new();
        for written in desk.written.values() {
            let (count, oldest) = by_verdict
                .entry(written.verdict)
                .or_insert((0, written.since));
            *count += 1;
            *oldest = (*oldest).min(written.since);
        }
        by_verdict
    }

    /// Writes until the end, and once more at the end. `store`: the log that the sagas are worked from.
    pub async fn run(&self, store: &dyn EventStore, shutdown: CancellationToken) {
        let mut tick = tokio::time::interval(FLUSH_PERIOD);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut flushes = 0_u32;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = shutdown.cancelled() => {
                    let last = async {
                        self.flush().await;
                        self.write_completeness(store).await;
                    };
                    if timeout(LAST_FLUSH_MAX, last).await.is_err() {
                        tracing::info!("the last states could not all be written; the next owner writes them");
                    }
                    return;
                }
            }
            self.flush().await;
            flushes = flushes.wrapping_add(1);
            if flushes.is_multiple_of(COMPLETE_PERIOD_FLUSHES) {
                self.write_completeness(store).await;
            }
        }
    }

    /// Writes everything that is pending; what cannot be written stays pending.
    pub async fn flush(&self) {
        let (pending, worked) = {
            let mut desk = self.desk();
            let worked: Vec<_> = desk
                .shares
                .iter()
                .map(|(share, progress)| (*share, progress.worked))
                .collect();
            (std::mem::take(&mut desk.pending), worked)
        };
        let unwritten: BTreeSet<Share> = stream::iter(pending.into_values())
            .map(|shown| async move {
                let share = Share::of(shown.id);
                let reason = match timeout(WRITE_TIMEOUT, self.write(&shown)).await {
                    Ok(Ok(())) => return None,
                    Ok(Err(reason)) => reason,
                    Err(_) => "no answer in time".to_owned(),
                };
                tracing::debug!(order.id = %shown.id, error = reason, "a saga's status could not be written; trying again");
                self.desk().written.remove(&shown.id);
                self.put(shown);
                Some(share)
            })
            .buffer_unordered(WRITES_AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await;
        let mut desk = self.desk();
        for (share, position) in worked
            .into_iter()
            .filter(|(share, _)| !unwritten.contains(share))
        {
            if let Some(progress) = desk.shares.get_mut(&share) {
                progress.shown = progress.shown.max(position);
            }
        }
    }

    async fn write(&self, shown: &SagaStatus) -> Result<(), String> {
        let key = status_key(shown.id);
        for _ in 0..WRITE_TRIES_MAX {
            let known = self.desk().written.get(&shown.id).copied();
            let last = match known {
                Some(known) => Some(known),
                None => self.read(&key).await?,
            };
            if last.is_some_and(|last| {
                last.position >= shown.position && !tells_more_of_the_same(last, shown)
            }) {
                // Somebody has shown this or something newer; what needs a person is still to be seen to.
                self.point_out(shown, last).await?;
                self.remember(shown, last.map_or(0, |last| last.revision), last);
                return Ok(());
            }
            // The verdict holds since it was first seen, not since the last event under it.
            let held =
                last.filter(|last| last.verdict == shown.status && last.cause == shown.cause);
            let shown = &SagaStatus {
                since: held.map_or(shown.since, |last| last.since),
                ..shown.clone()
            };
            self.point_out(shown, last).await?;
            let line = ascii::to_line(shown).map_err(|error| error.to_string())?;
            let written = match last {
                Some(last) => {
                    let update = self
                        .buckets
                        .status
                        .update(&key, line.into(), last.revision)
                        .await;
                    update.map_err(|error| error.to_string())
                }
                None => {
                    let create = self.buckets.status.create(&key, line.into()).await;
                    create.map_err(|error| error.to_string())
                }
            };
            match written {
                Ok(revision) => {
                    self.remember(shown, revision, None);
                    return Ok(());
                }
                Err(error) => {
                    tracing::trace!(order.id = %shown.id, error, "another writer was faster");
                    self.desk().written.remove(&shown.id);
                }
            }
        }
        Err("other writers were faster every time".into())
    }

    fn remember(&self, shown: &SagaStatus, revision: u64, newer: Option<Written>) {
        let written = newer.unwrap_or(Written {
            revision,
            position: shown.position,
            verdict: shown.status,
            cause: shown.cause,
            since: shown.since,
            is_read: shown.is_read(),
        });
        let mut desk = self.desk();
        if written.verdict.is_end() || !desk.shares.contains_key(&Share::of(shown.id)) {
            desk.written.remove(&shown.id);
        } else {
            desk.written.insert(shown.id, written);
        }
    }

    async fn read(&self, key: &str) -> Result<Option<Written>, String> {
        let entry = self
            .buckets
            .status
            .entry(key)
            .await
            .map_err(|error| error.to_string())?;
        let Some(entry) = entry.filter(|entry| entry.operation == Operation::Put) else {
            return Ok(None);
        };
        // A value that nobody can read is overwritten.
        let read: Option<SagaStatus> = serde_json::from_slice(&entry.value).ok();
        Ok(Some(Written {
            revision: entry.revision,
            position: read.as_ref().map_or(0, |read| read.position),
            verdict: read.as_ref().map_or(Verdict::Running, |read| read.status),
            cause: read.as_ref().and_then(|read| read.cause),
            since: read
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, |read| read.since),
            is_read: read.as_ref().is_some_and(SagaStatus::is_read),
        }))
    }

    /// Puts a saga on the list of those that need a person, or takes it off, and tells whoever listens. Before the
    /// status is written: whoever dies in between does it again.
    async fn point_out(&self, shown: &SagaStatus, last: Option<Written>) -> Result<(), String> {
        let attention = &self.buckets.attention;
        let before = last.and_then(|last| last.cause);
        if let Some(cause) = before.filter(|cause| Some(*cause) != shown.cause) {
            purge(attention, &attention_key(cause, shown.id)).await?;
        }
        if last.is_some_and(|last| last.position > shown.position) {
            return Ok(());
        }
        if let Some(cause) = shown.cause.filter(|cause| Some(*cause) != before) {
            let line = attention_line(shown);
            let put = attention
                .put(attention_key(cause, shown.id), line.into())
                .await;
            put.map_err(|error| error.to_string())?;
        }
        let told =
            last.is_some_and(|last| last.verdict == shown.status && last.cause == shown.cause);
        if !told && (shown.status.is_end() || shown.cause.is_some()) {
            self.advise(shown).await;
        }
        Ok(())
    }

    /// At most lost, never relied on: the bucket is the truth, the advisory only comes sooner.
    async fn advise(&self, shown: &SagaStatus) {
        let kind = shown.status.as_str();
        let advisory = serde_json::json!({
            "kind": kind,
            "saga": "fulfilment",
            "id": shown.id,
            "status": shown.status,
            "step": shown.step,
            "cause": shown.cause,
            "since": shown.since,
            "detail": shown.detail,
            "position": shown.position,
        });
        let Ok(line) = ascii::to_line(&advisory) else {
            return;
        };
        let subject = format!("saga.advisory.{kind}.fulfilment.{}", shown.id);
        if let Err(error) = self.buckets.client.publish(subject, line.into()).await {
            tracing::debug!(order.id = %shown.id, %error, "an advisory could not be sent");
        }
    }

    async fn write_completeness(&self, store: &dyn EventStore) {
        let due: Vec<(Share, Position)> = {
            let desk = self.desk();
            let due = desk
                .shares
                .iter()
                .filter(|(_, progress)| progress.shown > progress.written);
            due.map(|(share, progress)| (*share, progress.shown))
                .collect()
        };
        if due.is_empty() {
            return;
        }
        // Nothing may be said of a log that is not the one whose events were worked.
        if let Err(error) = store.is_ours(true).await {
            tracing::debug!(%error, "how far the sagas are shown is not written now");
            return;
        }
        let mut known: Option<Completeness> = None;
        for (share, complete) in due {
            let told = match known.take().filter(|known| known.position == complete) {
                Some(told) => told,
                None => match Completeness::at(store, complete).await {
                    Ok(told) => told,
                    Err(error) => {
                        tracing::debug!(%error, "how far the sagas are shown is not written now");
                        return;
                    }
                },
            };
            let key = completeness::key(share);
            let put = self.buckets.status.put(key, told.to_string().into());
            known = Some(told);
            match timeout(WRITE_TIMEOUT, put).await {
                Ok(Ok(_)) => {
                    if let Some(progress) = self.desk().shares.get_mut(&share) {
                        progress.written = progress.written.max(complete);
                    }
                }
                Ok(Err(error)) => {
                    tracing::debug!(saga.share = %share, %error, "the completeness could not be written");
                    return;
                }
                Err(_) => return,
            }
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A quarantine shows another verdict of the same events.
/// Whether it is about the same events and differs in what follows from them.
fn tells_more_of_the_same(last: Written, shown: &SagaStatus) -> bool {
    let differs = last.verdict != shown.status
        || last.cause != shown.cause
        || last.is_read != shown.is_read();
    last.position == shown.position && differs
}

pub(super) fn attention_key(cause: Cause, order: Uuid) -> String {
    format!("fulfilment.{}.{order}", cause.as_str())
}

fn attention_line(shown: &SagaStatus) -> String {
    let step = shown
        .step
        .map_or_else(String::new, |step| format!("{step}: "));
    let detail = shown.detail.as_deref().unwrap_or("no detail");
    ascii::plain_line(&format!("{step}{detail}, since {:.0}", shown.since))
}

async fn purge(bucket: &Store, key: &str) -> Result<(), String> {
    bucket.purge(key).await.map_err(|error| error.to_string())
}
