//! The states that commands are decided on: loaded, kept warm, shown to the next command before the log has answered,
//! put right when it says no, and put aside as snapshots.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::{OnceCell, Semaphore, watch};
use tokio::time::timeout;
use uuid::Uuid;

use event_schema::{Position, Subject, Version};

use super::cache::{Cache, Origin, Warm};
use super::kind::Kind;
use super::locks::{Held, Locks};
use super::snapshot::StoredSnapshot;
use super::work::Need;
use crate::store::{
    AppendError, Appended, EventStore, Freshness, Group, History, LoadError, LogIdentity, Waiting,
};

/// Most histories that one command loads at once.
const LOADS_AT_ONCE: usize = 16;
/// How long a decision waits to learn the fate of events of this process that it rests on.
const PENDING_WAIT_MAX: Duration = Duration::from_secs(25);
/// A state is put aside each time its history has grown by so many events …
const SNAPSHOT_EVERY_EVENTS: u64 = 256;
/// … or by a few over so many positions of the log: each of them is read back from a block of its own …
const SNAPSHOT_SCATTERED_SPAN: u64 = 100_000;
const SNAPSHOT_SCATTERED_EVENTS_MIN: u64 = 8;
/// … and when it leaves the cache, if reading it back would take at least so many events.
const SNAPSHOT_LEAVING_EVENTS_MIN: u64 = 8;
/// Scattered events that were read back once are not read a second time, if there are so many.
const SNAPSHOT_READ_EVENTS_MIN: u64 = 2;
/// Most snapshots being written at once; what comes on top is left out, which only costs time later.
const SNAPSHOT_WRITERS_MAX: usize = 8;

/// What the clones of an executor share.
pub(super) struct Shared {
    pub(super) store: Arc<dyn EventStore>,
    cache: Cache,
    pub(super) locks: Locks,
    log: OnceCell<LogIdentity>,
    snapshot_writers: Arc<Semaphore>,
}

impl Shared {
    pub(super) fn new(store: Arc<dyn EventStore>, states_max: NonZeroUsize) -> Self {
        Self {
            store,
            cache: Cache::new(states_max),
            locks: Locks::new(),
            log: OnceCell::new(),
            snapshot_writers: Arc::new(Semaphore::new(SNAPSHOT_WRITERS_MAX)),
        }
    }

    pub(super) async fn warm_all(
        &self,
        wanted: Vec<(Subject, Need, Option<Version>)>,
        freshness: Freshness,
    ) -> Result<Vec<(Subject, Warm)>, LoadError> {
        let loads = wanted.into_iter().map(|(subject, need, moved)| async move {
            let warm = self.warm(&subject, need, freshness, moved).await?;
            Ok((subject, warm))
        });
        stream::iter(loads)
            .buffer_unordered(LOADS_AT_ONCE)
            .try_collect()
            .await
    }

    /// A state as fresh as wanted: from the cache, or from a snapshot and the tail after it. `moved`: the leader had this
    /// version when it refused somebody's group; an older one will not do.
    pub(super) async fn warm(
        &self,
        subject: &Subject,
        Need { kind, presumed_new }: Need,
        freshness: Freshness,
        moved: Option<Version>,
    ) -> Result<Warm, LoadError> {
        // What is on its way was decided here. If it misses something that is in the log it will be refused, and whatever
        // is decided on it with it: nothing comes of a state that is too old.
        let enough = |warm: &Warm| {
            (is_enough(warm, freshness) || (warm.is_pending() && freshness != Freshness::Leader))
                && moved.is_none_or(|moved| warm.version >= moved)
        };
        let mut cached = self.cache.get(subject, &kind);
        if let Some(warm) = cached
            .as_mut()
            .filter(|warm| !enough(warm) && warm.is_pending())
        {
            settle(warm).await;
            // More may be on its way by now; what is in the log is enough to go on from.
            cached = self.cache.stored(subject, &kind);
        }
        if let Some(warm) = cached.as_ref().filter(|warm| enough(warm)) {
            metrics::counter!("waybill_loads_total", "kind" => "warm").increment(1);
            return Ok(warm.clone());
        }
        if presumed_new && cached.is_none() && moved.is_none() && freshness == Freshness::Any {
            metrics::counter!("waybill_loads_total", "kind" => "presumed_new").increment(1);
            return Ok(Warm::nothing(kind));
        }
        let freshness = match moved {
            Some(_) => Freshness::Leader,
            None => freshness,
        };
        let base = match cached {
            Some(warm) => {
                metrics::counter!("waybill_loads_total", "kind" => "tail").increment(1);
                warm
            }
            None => {
                // Most histories that are not warm are new or short, and have no snapshot to be looked for.
                if let Some(warm) = self.short(subject, kind, freshness).await? {
                    metrics::counter!("waybill_loads_total", "kind" => "whole").increment(1);
                    return self.keep(subject, warm).await;
                }
                match self.restore(subject, kind).await {
                    Some(warm) => {
                        metrics::counter!("waybill_loads_total", "kind" => "snapshot").increment(1);
                        warm
                    }
                    None => {
                        metrics::counter!("waybill_loads_total", "kind" => "whole").increment(1);
                        Warm::nothing(kind)
                    }
                }
            }
        };
        let warm = match self.grow(subject, base.clone(), freshness).await? {
            Some(warm) => warm,
            None => {
                self.store.is_ours(true).await?;
                // A snapshot of what was never acknowledged, or of a tail that was given up: the log is right.
                tracing::warn!(%subject, version = %base.version, "a remembered state does not fit the log; reading anew");
                self.cache.forget(subject);
                self.grow(subject, Warm::nothing(kind), Freshness::Leader)
                    .await?
                    .ok_or_else(|| LoadError::Corrupt {
                        place: subject.to_string(),
                        reason: "its versions are not 1, 2, 3 and so on".into(),
                    })?
            }
        };
        self.keep(subject, warm).await
    }

    /// A history of a few events, or none; nothing when it is longer, or does not read as one.
    async fn short(
        &self,
        subject: &Subject,
        kind: Kind,
        freshness: Freshness,
    ) -> Result<Option<Warm>, LoadError> {
        let history = self
            .store
            .load_short(subject, freshness, SNAPSHOT_LEAVING_EVENTS_MIN)
            .await?;
        match history {
            Some(history) => Ok(checked(grown(Warm::nothing(kind), &history)?, freshness)),
            None => Ok(None),
        }
    }

    /// A state that is in the log, for somebody who shows it; from the cache or from the log, whatever else is on its
    /// way.
    pub(super) async fn stored(
        &self,
        subject: &Subject,
        kind: Kind,
        freshness: Freshness,
    ) -> Result<Warm, LoadError> {
        if let Some(warm) = self.cache.stored(subject, &kind)
            && is_enough(&warm, freshness)
        {
            metrics::counter!("waybill_loads_total", "kind" => "warm").increment(1);
            return Ok(warm);
        }
        let presumed_new = false;
        let need = Need { kind, presumed_new };
        let mut warm = self.warm(subject, need, freshness, None).await?;
        if warm.is_pending() {
            settle(&mut warm).await;
            warm = self.warm(subject, need, Freshness::Leader, None).await?;
        }
        Ok(warm)
    }

    /// Keeps what was loaded warm.
    async fn keep(&self, subject: &Subject, warm: Warm) -> Result<Warm, LoadError> {
        self.store.is_ours(false).await?;
        if let Some((left, state)) = self.cache.put_loaded(subject.clone(), warm.clone()) {
            self.put_aside(left, state, Occasion::Left);
        }
        self.put_aside(subject.clone(), warm.clone(), Occasion::Read);
        Ok(warm)
    }

    /// Folds in what the log has after a state; nothing when the state does not fit the log.
    async fn grow(
        &self,
        subject: &Subject,
        base: Warm,
        freshness: Freshness,
    ) -> Result<Option<Warm>, LoadError> {
        let history = self
            .store
            .load(subject, base.version, base.position, freshness)
            .await?;
        Ok(checked(grown(base, &history)?, freshness))
    }

    async fn restore(&self, subject: &Subject, kind: Kind) -> Option<Warm> {
        let (_, id) = subject.aggregate()?;
        let log = self.log().await?;
        // A snapshot that cannot be fetched only costs time.
        let bytes = self.store.snapshot(&kind.snapshot_key(id)).await.ok()??;
        let stored = StoredSnapshot::read(&bytes, log)?;
        // The event it stands for has to be there: it may be of a tail that the log has lost.
        let there = self.store.at(stored.position).await.ok()??;
        (Some(there.event_id) == stored.event_id)
            .then(|| stored.restore(kind))
            .flatten()
    }

    async fn log(&self) -> Option<&LogIdentity> {
        self.log
            .get_or_try_init(|| self.store.identity())
            .await
            .ok()
    }

    /// Writes a snapshot in the background when that spares more than it costs.
    fn put_aside(self: &Shared, subject: Subject, warm: Warm, occasion: Occasion) {
        let Some((_, id)) = subject.aggregate() else {
            return;
        };
        let (events, span) = warm.since_snapshot();
        // Short ones are read whole, without a look for a snapshot.
        let is_short = warm.version.0 <= SNAPSHOT_LEAVING_EVENTS_MIN;
        let span = if is_short { 0 } else { span };
        if warm.is_pending() || !occasion.calls_for_a_snapshot(events, span) {
            return;
        }
        let Ok(permit) = Arc::clone(&self.snapshot_writers).try_acquire_owned() else {
            return;
        };
        self.cache
            .note_snapshot(&subject, warm.position.map(|at| (warm.version, at)));
        let (store, log) = (Arc::clone(&self.store), self.log.get().cloned());
        tokio::spawn(async move {
            let log = match log {
                Some(log) => Some(log),
                None => store.identity().await.ok(),
            };
            let last = match warm.position {
                Some(position) => store.seen_at(position).await.ok().flatten(),
                None => None,
            };
            let stored = log
                .zip(last)
                .and_then(|(log, last)| StoredSnapshot::of(&warm, &log, last.event_id)?.to_bytes());
            if let Some(bytes) = stored {
                store.put_snapshot(&warm.kind.snapshot_key(id), bytes).await;
            }
            drop(permit);
        });
    }

    /// Hands a group to the log while its histories are locked, shows its outcome to the commands that follow, and
    /// lets go of the locks before the answer: those that follow may ride in the same batch.
    pub(super) async fn submit(
        self: &Arc<Self>,
        group: Group,
        next: Vec<(Subject, Warm)>,
        read: &[(Subject, Warm)],
        held: Held,
    ) -> Result<Appended, AppendError> {
        let waiting = match self.store.submit(group).await {
            Ok(waiting) => waiting,
            Err(error) => {
                drop(held);
                return Err(error);
            }
        };
        let (resolved, pending) = watch::channel(());
        let mut written = Vec::with_capacity(next.len());
        for (subject, warm) in next {
            let before = read.iter().find(|(known, _)| *known == subject);
            if let Some(((_, before), last)) = before.zip(warm.on_its_way) {
                written.push(Written {
                    subject: subject.clone(),
                    before: before.clone(),
                    decided: warm.clone(),
                    last,
                });
            }
            let left = self.cache.put(
                subject,
                Warm {
                    pending: Some(pending.clone()),
                    ..warm
                },
            );
            if let Some((left, state)) = left {
                self.put_aside(left, state, Occasion::Left);
            }
        }
        drop(held);
        // A task of its own, so that the cache learns the outcome even if nobody waits for the answer any more.
        let settling = tokio::spawn(settled(Arc::clone(self), waiting, written, resolved));
        settling
            .await
            .unwrap_or_else(|_| Err(AppendError::Unavailable("the writer was shut down".into())))
    }

    /// Whether the states a decision read are what the leader has now.
    pub(super) async fn rests_on_newest(
        &self,
        read: &[(Subject, Warm)],
    ) -> Result<bool, LoadError> {
        if read.iter().any(|(_, warm)| warm.is_pending()) {
            return Ok(false);
        }
        let subjects: Vec<Subject> = read.iter().map(|(subject, _)| subject.clone()).collect();
        let heads = self.store.heads(&subjects).await?;
        self.store.is_ours(false).await?;
        let same = |(head, (_, warm)): (&Option<(Version, Position)>, &(Subject, Warm))| match head
        {
            Some((version, position)) => {
                warm.version == *version && warm.position == Some(*position)
            }
            None => warm.version == Version::NONE,
        };
        Ok(heads.len() == read.len() && heads.iter().zip(read).all(same))
    }
}

/// Why a state may be put aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// Its history has grown here.
    Grown,
    /// It leaves the cache.
    Left,
    /// It was read back from the log.
    Read,
}

impl Occasion {
    /// Whether it is to be, with so many events after the last snapshot, over so many positions.
    fn calls_for_a_snapshot(self, events: u64, span: u64) -> bool {
        let scattered = |events_min| span >= SNAPSHOT_SCATTERED_SPAN && events >= events_min;
        match self {
            Self::Grown => {
                events >= SNAPSHOT_EVERY_EVENTS || scattered(SNAPSHOT_SCATTERED_EVENTS_MIN)
            }
            Self::Left => events >= SNAPSHOT_LEAVING_EVENTS_MIN,
            Self::Read => events >= SNAPSHOT_EVERY_EVENTS || scattered(SNAPSHOT_READ_EVENTS_MIN),
        }
    }
}

/// Whether a state shows what somebody wants to see.
fn is_enough(warm: &Warm, freshness: Freshness) -> bool {
    match freshness {
        Freshness::Any => true,
        Freshness::AtLeast(position) => warm.covers(position),
        Freshness::Leader => false,
    }
}

/// Notes up to where the log was looked through for a state.
fn checked(warm: Option<Warm>, freshness: Freshness) -> Option<Warm> {
    let mut warm = warm?;
    if let Freshness::AtLeast(position) = freshness {
        warm.checked_to = warm.checked_to.max(Some(position));
    }
    Some(warm)
}

/// Folds the events of a history into the state before them; nothing when they do not follow it.
fn grown(base: Warm, history: &History) -> Result<Option<Warm>, LoadError> {
    let follows = |(n, version): (u64, Version)| version == base.version.after(n + 1);
    if !(0..)
        .zip(history.events.iter().map(|event| event.version))
        .all(follows)
    {
        return Ok(None);
    }
    let Some(last) = history.events.last() else {
        // A leader that knows less than we remember, or another event at the same version.
        let fits = match history.leader {
            Some(Some((version, position))) => {
                version == base.version && base.position.is_none_or(|known| known == position)
            }
            Some(None) => base.version == Version::NONE,
            None => true,
        };
        return Ok(fits.then_some(base));
    };
    let first = history.events.first().map(|event| Origin {
        command_id: event.metadata.command_id,
        command_hash: event.metadata.command_hash.clone(),
        position: Some(event.position),
    });
    Ok(Some(Warm {
        kind: base.kind,
        state: (base.kind.fold)(&base.state, &history.events)?,
        version: last.version,
        position: Some(last.position),
        checked_to: base.checked_to,
        origin: base.origin.or(first),
        snapshot: base.snapshot,
        pending: None,
        on_its_way: None,
    }))
}

/// What a group would change about one history.
struct Written {
    subject: Subject,
    /// The state it was decided on.
    before: Warm,
    /// The state it led to.
    decided: Warm,
    /// Its last event there.
    last: Uuid,
}

async fn settled(
    shared: Arc<Shared>,
    waiting: Waiting,
    written: Vec<Written>,
    resolved: watch::Sender<()>,
) -> Result<Appended, AppendError> {
    let answer = waiting.await;
    for Written {
        subject,
        before,
        decided,
        last: event,
    } in &written
    {
        let last = answer.as_ref().ok().and_then(|appended| {
            appended
                .positions
                .iter()
                .find(|(known, ..)| known == subject)
                .map(|(_, v, p)| (*v, *p))
        });
        match last {
            Some(last) => {
                if let Some(warm) = shared.cache.confirm(subject, before.version, last, decided) {
                    shared.put_aside(subject.clone(), warm, Occasion::Grown);
                }
            }
            None => shared.cache.retract(subject, before, *event),
        }
    }
    // Only now may those go on who waited to learn the outcome.
    drop(resolved);
    answer
}

/// Waits until the fate of the events is known that a state was built on.
pub(super) async fn settle(warm: &mut Warm) {
    if let Some(pending) = &mut warm.pending {
        // An error is the news: the sender is dropped when the outcome is in the cache.
        let _outcome = timeout(PENDING_WAIT_MAX, pending.changed()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::Occasion::{Grown, Left, Read};

    #[test]
    fn a_state_is_put_aside_when_reading_it_back_would_cost_more() {
        for (occasion, events, span, expected) in [
            (Grown, 255, 99_999, false),
            (Grown, 256, 300, true),
            (Grown, 8, 100_000, true),
            (Grown, 7, 5_000_000, false),
            (Left, 7, 5_000_000, false),
            (Left, 8, 8, true),
            (Read, 255, 99_999, false),
            (Read, 2, 100_000, true),
            (Read, 1, 5_000_000, false),
        ] {
            let due = occasion.calls_for_a_snapshot(events, span);
            assert_eq!(due, expected, "{occasion:?} {events} {span}");
        }
    }
}
