//! The write path: load, decide, append as one group, and again on a conflict. No other code appends.

mod cache;
mod kind;
mod locks;
mod snapshot;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::{OnceCell, Semaphore, watch};
use tokio::time::timeout;
use uuid::Uuid;

use event_schema::{Decider, EventSet, Metadata, Position, Subject, Version};

use crate::store::{
    AppendError, Appended, EventStore, Freshness, Group, LoadError, LogIdentity, Waiting,
};
use cache::{Cache, Origin, WARM_STATES_MAX, Warm};
use kind::Kind;
use locks::{Held, Locks};
use work::Decided;

pub use snapshot::StoredSnapshot;
pub use work::{Claim, Halt, Once, Refusal, Release, Stop, Work};

/// How often a command is decided again after others were faster.
pub const TRIES_MAX: u32 = 8;
/// How often a closure may ask for more states.
const LOAD_ROUNDS_MAX: u32 = 300;
/// Most histories that one command loads at once.
const LOADS_AT_ONCE: usize = 16;
/// Pause before the second try, in milliseconds; doubles with each, and a random part is taken off.
const BACK_OFF_FIRST_MS: u64 = 4;
const BACK_OFF_MAX_MS: u64 = 200;
/// How long a decision waits to learn the fate of events of this process that it rests on.
const PENDING_WAIT_MAX: Duration = Duration::from_secs(35);
/// A state is put aside each time its history has grown by so many events …
const SNAPSHOT_EVERY_EVENTS: u64 = 256;
/// … and when it leaves the cache, if reading it back would take at least so many.
const SNAPSHOT_LEAVING_EVENTS_MIN: u64 = 8;
/// Most snapshots being written at once; what comes on top is left out, which only costs time later.
const SNAPSHOT_WRITERS_MAX: usize = 8;

/// What a command led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed<T> {
    /// What the closure answered.
    pub value: T,
    /// Position of the last event appended; without events, the position that made it true.
    pub position: Position,
    /// Versions of the histories it rests on, as they are now.
    pub versions: Vec<(Subject, Version)>,
    /// Whether anything was appended.
    pub appended: bool,
}

/// Why a command did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError<R> {
    /// The business "no", checked against the newest state.
    #[error("the command was rejected")]
    Rejected(R),
    /// Others were faster, every time. Nothing was stored; trying again later is safe.
    #[error("the aggregates are busy: others were faster {TRIES_MAX} times")]
    Conflict,
    /// A newer build wrote something that the decision would rest on.
    #[error("the event type {event_type} is not known to this build")]
    Newer {
        /// Which.
        event_type: String,
    },
    /// It could not be appended, or that is not known.
    #[error(transparent)]
    Append(AppendError),
    /// A history could not be read.
    #[error(transparent)]
    Load(LoadError),
}

impl<R> From<LoadError> for ExecuteError<R> {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Newer { event_type, .. } => Self::Newer { event_type },
            other => Self::Load(other),
        }
    }
}

/// The state of one aggregate.
#[derive(Debug)]
pub struct Loaded<D: Decider> {
    /// The state; initial when nothing is stored.
    pub state: Arc<D::State>,
    /// How many events it has.
    pub version: Version,
    /// Where its last event is; none before the first.
    pub position: Option<Position>,
}

/// The write path of one process. Clones share the warm states and the locks.
#[derive(Clone)]
pub struct Executor {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn EventStore>,
    cache: Cache,
    locks: Locks,
    log: OnceCell<LogIdentity>,
    snapshot_writers: Arc<Semaphore>,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").finish_non_exhaustive()
    }
}

impl Executor {
    /// A write path over a store. One per process: its locks are what keeps commands of one process apart.
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        Self::with_cache(store, WARM_STATES_MAX)
    }

    /// A write path that keeps at most so many states warm.
    pub fn with_cache(store: Arc<dyn EventStore>, states_max: std::num::NonZeroUsize) -> Self {
        let shared = Shared {
            store,
            cache: Cache::new(states_max),
            locks: Locks::new(),
            log: OnceCell::new(),
            snapshot_writers: Arc::new(Semaphore::new(SNAPSHOT_WRITERS_MAX)),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The store underneath, for reading.
    pub fn store(&self) -> &Arc<dyn EventStore> {
        &self.shared.store
    }

    /// The state of one aggregate.
    pub async fn load<D: Decider>(
        &self,
        id: Uuid,
        freshness: Freshness,
    ) -> Result<Loaded<D>, LoadError> {
        let subject = Subject::history(D::Event::AGGREGATE, id);
        let mut warm = self
            .shared
            .warm(&subject, Kind::of::<D>(), freshness)
            .await?;
        if warm.is_pending() {
            // What is on its way to the log is not shown to anybody yet.
            settle(&mut warm).await;
            warm = self
                .shared
                .warm(&subject, Kind::of::<D>(), Freshness::Leader)
                .await?;
        }
        let state = warm.state.downcast().map_err(|_| LoadError::Corrupt {
            place: subject.to_string(),
            reason: "its state is of another kind".into(),
        })?;
        Ok(Loaded {
            state,
            version: warm.version,
            position: warm.position,
        })
    }

    /// Runs a pure decision over as many aggregates as it asks for, and appends all its events as one group.
    ///
    /// The closure is called again when a state it asks for has to be loaded, and after a conflict. `at_least`: the
    /// position of the event that the decision reacts to; it then sees at least that much.
    pub async fn execute<T: Send, R: Send>(
        &self,
        metadata: Metadata,
        at_least: Option<Position>,
        mut decide: impl FnMut(&mut Work) -> Result<T, Stop<R>> + Send,
    ) -> Result<Executed<T>, ExecuteError<R>> {
        let shared = &self.shared;
        let mut freshness = at_least.map_or(Freshness::Any, Freshness::AtLeast);
        let mut wanted: BTreeMap<Subject, Kind> = BTreeMap::new();
        let mut loaded: BTreeMap<Subject, Warm> = BTreeMap::new();
        let mut held = Held::default();
        let mut conflicts = 0;
        for _ in 0..LOAD_ROUNDS_MAX {
            if !shared.locks.extend(&mut held, wanted.keys()).await {
                // Others may have written while the locks were let go.
                loaded.clear();
            }
            let missing = wanted
                .iter()
                .filter(|(subject, _)| !loaded.contains_key(*subject));
            let missing: Vec<_> = missing
                .map(|(subject, kind)| (subject.clone(), *kind))
                .collect();
            loaded.extend(shared.warm_all(missing, freshness).await?);

            let states = loaded
                .iter()
                .map(|(subject, warm)| (subject.clone(), warm.clone()));
            let mut work = Work::new(states);
            let (outcome, read) = match decide(&mut work) {
                Ok(value) => match work.finish(metadata.clone()).map_err(Stop::from) {
                    Ok(Decided {
                        group: Some(group),
                        read,
                        next,
                        ..
                    }) => {
                        let answer = shared
                            .submit(group, next, &read, std::mem::take(&mut held))
                            .await;
                        match answer {
                            Ok(appended) => return Ok(executed(value, &appended, &read)),
                            Err(AppendError::Conflict { .. }) => {}
                            Err(error) => return Err(ExecuteError::Append(error)),
                        }
                        conflicts += 1;
                        metrics::counter!("waybill_command_conflicts_total").increment(1);
                        if conflicts >= TRIES_MAX {
                            return Err(ExecuteError::Conflict);
                        }
                        back_off(conflicts).await;
                        freshness = Freshness::Leader;
                        loaded.clear();
                        continue;
                    }
                    Ok(Decided { read, repeated, .. }) => (Ok((value, repeated)), read),
                    Err(stop) => (Err(stop), Vec::new()),
                },
                Err(Stop::NeedsLoad) => {
                    wanted.extend(work.needs());
                    continue;
                }
                Err(stop) => (Err(stop), work.read()),
            };
            // Nothing is appended, so no expectation guards the answer: it leaves only if it rests on the newest.
            if freshness != Freshness::Leader {
                held = Held::default();
                if !shared.rests_on_newest(&read).await? {
                    metrics::counter!("waybill_command_stale_answers_total").increment(1);
                    freshness = Freshness::Leader;
                    loaded.clear();
                    continue;
                }
            }
            return match outcome {
                Ok((value, repeated)) => {
                    let position = read.iter().filter_map(|(_, warm)| warm.position).max();
                    Ok(Executed {
                        value,
                        position: position.max(repeated).unwrap_or_default(),
                        versions: read
                            .into_iter()
                            .map(|(subject, warm)| (subject, warm.version))
                            .collect(),
                        appended: false,
                    })
                }
                Err(Stop::Rejected(rejection)) => Err(ExecuteError::Rejected(rejection)),
                Err(Stop::Newer(event_type)) => Err(ExecuteError::Newer { event_type }),
                Err(Stop::Unsound(why)) => Err(ExecuteError::Append(AppendError::Refused(why))),
                Err(Stop::NeedsLoad) => continue,
            };
        }
        let why =
            format!("the decision still asked for more after {LOAD_ROUNDS_MAX} rounds of loading");
        Err(ExecuteError::Append(AppendError::Refused(why)))
    }
}

impl Shared {
    async fn warm_all(
        &self,
        wanted: Vec<(Subject, Kind)>,
        freshness: Freshness,
    ) -> Result<Vec<(Subject, Warm)>, LoadError> {
        let loads = wanted.into_iter().map(|(subject, kind)| async move {
            let warm = self.warm(&subject, kind, freshness).await?;
            Ok((subject, warm))
        });
        stream::iter(loads)
            .buffer_unordered(LOADS_AT_ONCE)
            .try_collect()
            .await
    }

    /// A state as fresh as wanted: from the cache, or from a snapshot and the tail after it.
    async fn warm(
        &self,
        subject: &Subject,
        kind: Kind,
        freshness: Freshness,
    ) -> Result<Warm, LoadError> {
        let mut cached = self.cache.get(subject, &kind);
        if let Some(warm) = &mut cached {
            let enough = match freshness {
                Freshness::Any => true,
                Freshness::AtLeast(position) => {
                    !warm.is_pending() && warm.position >= Some(position)
                }
                Freshness::Leader => false,
            };
            if enough {
                metrics::counter!("waybill_loads_total", "kind" => "warm").increment(1);
                return Ok(warm.clone());
            }
            if warm.is_pending() {
                settle(warm).await;
                cached = self
                    .cache
                    .get(subject, &kind)
                    .filter(|warm| !warm.is_pending());
            }
        }
        let base = match cached {
            Some(warm) => {
                metrics::counter!("waybill_loads_total", "kind" => "tail").increment(1);
                warm
            }
            None => match self.restore(subject, kind).await {
                Some(warm) => {
                    metrics::counter!("waybill_loads_total", "kind" => "snapshot").increment(1);
                    warm
                }
                None => {
                    metrics::counter!("waybill_loads_total", "kind" => "whole").increment(1);
                    Warm::nothing(kind)
                }
            },
        };
        let warm = match self.grow(subject, base.clone(), freshness).await? {
            Some(warm) => warm,
            None => {
                // What we remembered is not what the log holds (it was restored, or made anew): the log is right.
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
        if let Some((left, state)) = self.cache.put_loaded(subject.clone(), warm.clone()) {
            self.put_aside(left, state, SNAPSHOT_LEAVING_EVENTS_MIN);
        }
        self.put_aside(subject.clone(), warm.clone(), SNAPSHOT_EVERY_EVENTS);
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
            origin: base.origin.or(first),
            snapshot: base.snapshot,
            pending: None,
        }))
    }

    async fn restore(&self, subject: &Subject, kind: Kind) -> Option<Warm> {
        let (_, id) = subject.aggregate()?;
        let log = self.log().await?;
        // A snapshot that cannot be fetched only costs time.
        let bytes = self.store.snapshot(&kind.snapshot_key(id)).await.ok()??;
        StoredSnapshot::restore(&bytes, kind, log)
    }

    async fn log(&self) -> Option<&LogIdentity> {
        self.log
            .get_or_try_init(|| self.store.identity())
            .await
            .ok()
    }

    /// Writes a snapshot in the background when the history has grown by so many events since the last one.
    fn put_aside(self: &Shared, subject: Subject, warm: Warm, events_min: u64) {
        let grown = warm.version.0.saturating_sub(warm.snapshot.0);
        let Some((_, id)) = subject.aggregate() else {
            return;
        };
        if warm.is_pending() || grown < events_min {
            return;
        }
        let Ok(permit) = Arc::clone(&self.snapshot_writers).try_acquire_owned() else {
            return;
        };
        self.cache.note_snapshot(&subject, warm.version);
        let (store, log) = (Arc::clone(&self.store), self.log.get().cloned());
        tokio::spawn(async move {
            let log = match log {
                Some(log) => Some(log),
                None => store.identity().await.ok(),
            };
            let stored = log.and_then(|log| StoredSnapshot::of(&warm, &log)?.to_bytes());
            if let Some(bytes) = stored {
                store.put_snapshot(&warm.kind.snapshot_key(id), bytes).await;
            }
            drop(permit);
        });
    }

    /// Hands a group to the log while its histories are locked, shows its outcome to the commands that follow, and
    /// lets go of the locks before the answer: those that follow may ride in the same batch.
    async fn submit(
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
            if let Some((_, before)) = read.iter().find(|(known, _)| *known == subject) {
                written.push((subject.clone(), before.clone()));
            }
            let left = self.cache.put(
                subject,
                Warm {
                    pending: Some(pending.clone()),
                    ..warm
                },
            );
            if let Some((left, state)) = left {
                self.put_aside(left, state, SNAPSHOT_LEAVING_EVENTS_MIN);
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
    async fn rests_on_newest(&self, read: &[(Subject, Warm)]) -> Result<bool, LoadError> {
        if read.iter().any(|(_, warm)| warm.is_pending()) {
            return Ok(false);
        }
        let subjects: Vec<Subject> = read.iter().map(|(subject, _)| subject.clone()).collect();
        let heads = self.store.heads(&subjects).await?;
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

async fn settled(
    shared: Arc<Shared>,
    waiting: Waiting,
    written: Vec<(Subject, Warm)>,
    resolved: watch::Sender<()>,
) -> Result<Appended, AppendError> {
    let answer = waiting.await;
    for (subject, before) in &written {
        let last = answer.as_ref().ok().and_then(|appended| {
            appended
                .positions
                .iter()
                .find(|(known, ..)| known == subject)
                .map(|(_, v, p)| (*v, *p))
        });
        match last {
            Some(last) => {
                if let Some(warm) = shared.cache.confirm(subject, before.version, last) {
                    shared.put_aside(subject.clone(), warm, SNAPSHOT_EVERY_EVENTS);
                }
            }
            None => shared.cache.retract(subject, before),
        }
    }
    // Only now may those go on who waited to learn the outcome.
    drop(resolved);
    answer
}

/// Waits until the fate of the events is known that a state was built on.
async fn settle(warm: &mut Warm) {
    if let Some(pending) = &mut warm.pending {
        // An error is the news: the sender is dropped when the outcome is in the cache.
        let _outcome = timeout(PENDING_WAIT_MAX, pending.changed()).await;
    }
}

async fn back_off(conflicts: u32) {
    let most = BACK_OFF_MAX_MS.min(BACK_OFF_FIRST_MS << conflicts.min(10));
    tokio::time::sleep(Duration::from_millis(fastrand::u64(most / 2..=most))).await;
}

fn executed<T>(value: T, appended: &Appended, read: &[(Subject, Warm)]) -> Executed<T> {
    let mut versions: BTreeMap<Subject, Version> = read
        .iter()
        .map(|(subject, warm)| (subject.clone(), warm.version))
        .collect();
    versions.extend(
        appended
            .positions
            .iter()
            .map(|(subject, version, _)| (subject.clone(), *version)),
    );
    Executed {
        value,
        position: appended.last,
        versions: versions.into_iter().collect(),
        appended: true,
    }
}
