//! The write path: load, decide, append as one group, and again on a conflict. No other code appends.

mod answers;
mod cache;
mod kind;
mod locks;
mod snapshot;
mod states;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::field::Empty;
use tracing::{Instrument, Span};
use uuid::Uuid;

use event_schema::{Decider, EventSet, Metadata, Position, Subject, TRACE_TARGET, Version};

use crate::store::{AppendError, Appended, EventStore, Freshness, Group, LoadError};
use crate::topology::EVENTS;
use cache::{WARM_STATES_MAX, Warm};
use kind::Kind;
use locks::Held;
use states::Shared;
use work::{Decided, Need};

pub use answers::{Claim, Halt, Once, Refusal, Release, Stop};
pub use snapshot::StoredSnapshot;
pub use work::Work;

/// How long a command is decided again after others were faster …
const TRIED_FOR_MAX: Duration = Duration::from_secs(8);
/// … and how often.
const TRIES_MAX: u32 = 200;
/// Each so-manieth time everything is read from the leader. Else one command of this process reads what others have
/// written and the next ones go on from there, so that a crowd on one history shares a batch again at once: if each of
/// them read for itself, one after the other, the crowd at another process would always be faster.
const LEADER_TRIES_EVERY: u32 = 16;
/// How often a closure may ask for more states.
const LOAD_ROUNDS_MAX: u32 = 300;
/// Pause before the second try, in milliseconds; doubles with each, and a random part is taken off.
const BACK_OFF_FIRST_MS: u64 = 1;
const BACK_OFF_MAX_MS: u64 = 16;

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
    /// Others were faster, every time, for seconds. Nothing was stored; trying again later is safe.
    #[error("the aggregates are busy: others were faster, again and again")]
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
        Self {
            shared: Arc::new(Shared::new(store, states_max)),
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
        // What is on its way to the log is not shown to anybody yet.
        let kind = Kind::of::<D>();
        let warm = self.shared.stored(&subject, kind, freshness).await?;
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
        let usual = at_least.map_or(Freshness::Any, Freshness::AtLeast);
        let mut freshness = usual;
        let mut wanted: BTreeMap<Subject, Need> = BTreeMap::new();
        let mut loaded: BTreeMap<Subject, Warm> = BTreeMap::new();
        let mut held = Held::default();
        let (mut conflicts, begun) = (0, Instant::now());
        // Histories that others were faster on, and the version that the leader had.
        let mut moved: BTreeMap<Subject, Version> = BTreeMap::new();
        for _ in 0..LOAD_ROUNDS_MAX {
            if !shared.locks.extend(&mut held, wanted.keys()).await {
                // Others may have written while the locks were let go.
                loaded.clear();
            }
            let missing = wanted
                .iter()
                .filter(|(subject, _)| !loaded.contains_key(*subject));
            let missing: Vec<_> = missing
                .map(|(subject, need)| (subject.clone(), *need, moved.get(subject).copied()))
                .collect();
            if !missing.is_empty() {
                let span = tracing::info_span!(
                    target: TRACE_TARGET, "load", otel.kind = "client",
                    messaging.system = "nats", messaging.destination.name = EVENTS, waybill.histories = missing.len(),
                );
                let states = shared.warm_all(missing, freshness).instrument(span);
                loaded.extend(states.await?);
            }

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
                        let span = appending(&group);
                        let answer = shared
                            .submit(group, next, &read, std::mem::take(&mut held))
                            .instrument(span.clone())
                            .await;
                        match &answer {
                            Ok(appended) => span.record("waybill.position", appended.last.0),
                            Err(error) => span
                                .record("otel.status_code", "ERROR")
                                .record("error.message", tracing::field::display(error)),
                        };
                        match answer {
                            Ok(appended) => return Ok(executed(value, &appended, &read)),
                            Err(AppendError::Conflict {
                                subject, actual, ..
                            }) => drop(moved.insert(subject, actual)),
                            Err(error) => return Err(ExecuteError::Append(error)),
                        }
                        conflicts += 1;
                        metrics::counter!("waybill_command_conflicts_total").increment(1);
                        if conflicts >= TRIES_MAX || begun.elapsed() > TRIED_FOR_MAX {
                            return Err(ExecuteError::Conflict);
                        }
                        back_off(conflicts).await;
                        freshness = match conflicts % LEADER_TRIES_EVERY {
                            0 => Freshness::Leader,
                            _ => usual,
                        };
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

/// The span of a group on its way to the log.
fn appending(group: &Group) -> Span {
    tracing::info_span!(
        target: TRACE_TARGET, "append", otel.kind = "producer", otel.status_code = Empty,
        messaging.system = "nats", messaging.destination.name = EVENTS,
        waybill.histories = group.parts.len(),
        waybill.events = group.parts.iter().map(|part| part.events.len()).sum::<usize>(),
        waybill.position = Empty, error.message = Empty,
    )
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
