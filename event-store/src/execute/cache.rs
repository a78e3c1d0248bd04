//! Warm states: a bounded cache of what the log says, each with the version and position it stands for.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use tokio::sync::watch;

use event_schema::ids::CommandId;
use event_schema::{Position, Subject, Version};

use super::kind::{AnyState, Kind};

/// Most states kept warm.
pub(crate) const WARM_STATES_MAX: NonZeroUsize = match NonZeroUsize::new(10_000) {
    Some(states) => states,
    None => NonZeroUsize::MIN,
};

/// The command that began a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) command_id: CommandId,
    pub(crate) command_hash: Option<String>,
    /// Unknown while the event is on its way to the log.
    pub(crate) position: Option<Position>,
}

/// A state as of one version of its history.
#[derive(Debug, Clone)]
pub(crate) struct Warm {
    pub(crate) kind: Kind,
    pub(crate) state: AnyState,
    pub(crate) version: Version,
    /// Where the event `version` is; unknown while it is on its way, and before the first one.
    pub(crate) position: Option<Position>,
    pub(crate) origin: Option<Origin>,
    /// The version that the stored snapshot has; 0 without one.
    pub(crate) snapshot: Version,
    /// Set while events of this process are on their way: fires (or is dropped) when their fate is known.
    pub(crate) pending: Option<watch::Receiver<()>>,
}

impl Warm {
    pub(crate) fn nothing(kind: Kind) -> Self {
        Self {
            kind,
            state: (kind.initial)(),
            version: Version::NONE,
            position: None,
            origin: None,
            snapshot: Version::NONE,
            pending: None,
        }
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }
}

/// The bounded cache.
pub(crate) struct Cache(Mutex<LruCache<Subject, Warm>>);

impl Cache {
    pub(crate) fn new(states_max: NonZeroUsize) -> Self {
        Self(Mutex::new(LruCache::new(states_max)))
    }

    fn states(&self) -> MutexGuard<'_, LruCache<Subject, Warm>> {
        // Every operation below is one call of the cache, so a panic elsewhere cannot leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, subject: &Subject, kind: &Kind) -> Option<Warm> {
        self.states()
            .get(subject)
            .filter(|warm| warm.kind.type_id == kind.type_id)
            .cloned()
    }

    /// Keeps what was decided, which is newer than anything loaded; gives back the state that had to leave for it.
    pub(crate) fn put(&self, subject: Subject, warm: Warm) -> Option<(Subject, Warm)> {
        put(&mut self.states(), subject, warm)
    }

    /// Keeps what was loaded, unless a newer state is there already.
    pub(crate) fn put_loaded(&self, subject: Subject, warm: Warm) -> Option<(Subject, Warm)> {
        let mut states = self.states();
        let newer =
            |kept: &Warm| kept.kind.type_id == warm.kind.type_id && kept.version > warm.version;
        if states.peek(&subject).is_some_and(newer) {
            return None;
        }
        put(&mut states, subject, warm)
    }

    pub(crate) fn forget(&self, subject: &Subject) {
        self.states().pop(subject);
    }

    /// Events of this process did not (surely) reach the log: takes back what was built on them.
    pub(crate) fn retract(&self, subject: &Subject, before: &Warm) {
        let mut states = self.states();
        if states.peek(subject).is_some_and(Warm::is_pending) {
            if before.is_pending() {
                states.pop(subject);
            } else {
                states.push(subject.clone(), before.clone());
            }
        }
    }

    /// Events of this process have reached the log: fills in what only the log knows. Gives back the state when it
    /// is the confirmed one.
    pub(crate) fn confirm(
        &self,
        subject: &Subject,
        before: Version,
        last: (Version, Position),
    ) -> Option<Warm> {
        let mut states = self.states();
        let warm = states.peek_mut(subject)?;
        let (version, position) = last;
        if warm.version < version {
            return None;
        }
        if before == Version::NONE
            && let Some(origin) = &mut warm.origin
        {
            let events = version.0.saturating_sub(1);
            origin
                .position
                .get_or_insert(Position(position.0.saturating_sub(events)));
        }
        if warm.version != version {
            return None;
        }
        warm.position = Some(position);
        warm.pending = None;
        Some(warm.clone())
    }

    pub(crate) fn note_snapshot(&self, subject: &Subject, version: Version) {
        if let Some(warm) = self.states().peek_mut(subject) {
            warm.snapshot = warm.snapshot.max(version);
        }
    }
}

fn put(
    states: &mut LruCache<Subject, Warm>,
    subject: Subject,
    warm: Warm,
) -> Option<(Subject, Warm)> {
    let (left, state) = states.push(subject.clone(), warm)?;
    (left != subject).then_some((left, state))
}
