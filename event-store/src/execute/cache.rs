//! Warm states: a bounded cache of what the log says, each with the version and position it stands for.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use tokio::sync::watch;

use event_schema::ids::CommandId;
use event_schema::{Position, Subject, Version};
use uuid::Uuid;

use super::kind::{AnyState, Kind};
use crate::store::Seen;

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
    /// Which event the stored snapshot stands for; none without one.
    pub(crate) snapshot: Option<(Version, Position)>,
    /// Set while events of this process are on their way: fires (or is dropped) when their fate is known.
    pub(crate) pending: Option<watch::Receiver<()>>,
    /// The event `version` while it is on its way: another writer's history may reach the same version instead.
    pub(crate) on_its_way: Option<Uuid>,
}

impl Warm {
    pub(crate) fn nothing(kind: Kind) -> Self {
        Self {
            kind,
            state: (kind.initial)(),
            version: Version::NONE,
            position: None,
            origin: None,
            snapshot: None,
            pending: None,
            on_its_way: None,
        }
    }

    /// Which event `version` is, for whoever decides on this state.
    pub(crate) fn seen(&self) -> Seen {
        match (self.position, self.on_its_way) {
            (Some(position), _) => Seen::At(position),
            (None, Some(event)) => Seen::OnItsWay(event),
            (None, None) => Seen::Version,
        }
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// What reading this state back would take after the snapshot, or without one: so many events, from so many
    /// positions of the log.
    pub(crate) fn since_snapshot(&self) -> (u64, u64) {
        let (version, from) = match (self.snapshot, &self.origin) {
            (Some((version, position)), _) => (version, Some(position)),
            (None, origin) => (
                Version::NONE,
                origin.as_ref().and_then(|origin| origin.position),
            ),
        };
        let span = self
            .position
            .zip(from)
            .map_or(0, |(to, from)| to.0.saturating_sub(from.0));
        (self.version.0.saturating_sub(version.0), span)
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

    /// The event `last` of this process and those with it did not (surely) reach the log: takes back what was built on
    /// them. What is there may be built on others by now; then forgetting it costs a load and nothing else.
    pub(crate) fn retract(&self, subject: &Subject, before: &Warm, last: Uuid) {
        let mut states = self.states();
        let Some(warm) = states.peek(subject).filter(|warm| warm.is_pending()) else {
            return;
        };
        if before.is_pending() || warm.on_its_way != Some(last) {
            states.pop(subject);
        } else {
            states.push(subject.clone(), before.clone());
        }
    }

    /// Events of this process have reached the log, the last of them `event`: fills in what only the log knows. Gives
    /// back the state when it is the confirmed one. One of the same version may be another: two that were decided on
    /// the same state are both there for a while, and the log takes one.
    pub(crate) fn confirm(
        &self,
        subject: &Subject,
        before: Version,
        last: (Version, Position),
        event: Uuid,
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
        if warm.version != version || warm.on_its_way != Some(event) {
            return None;
        }
        warm.position = Some(position);
        warm.pending = None;
        warm.on_its_way = None;
        Some(warm.clone())
    }

    pub(crate) fn note_snapshot(&self, subject: &Subject, place: Option<(Version, Position)>) {
        if let Some(warm) = self.states().peek_mut(subject) {
            warm.snapshot = warm.snapshot.max(place);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::conformance::ledger::{Ledger, State};

    const FIVE: NonZeroUsize = NonZeroUsize::new(5).unwrap();

    fn ledger() -> Subject {
        Subject::history("ledger", Uuid::from_u128(1))
    }

    /// A state with this total at version 3, on its way as this event.
    fn on_its_way(total: i64, event: u128) -> Warm {
        let state = State {
            open: true,
            total,
            ..State::default()
        };
        Warm {
            state: Arc::new(state),
            version: Version(3),
            pending: Some(watch::channel(()).1),
            on_its_way: Some(Uuid::from_u128(event)),
            ..Warm::nothing(Kind::of::<Ledger>())
        }
    }

    fn total(warm: &Warm) -> i64 {
        warm.state.downcast_ref::<State>().unwrap().total
    }

    #[test]
    fn of_two_states_of_one_version_only_the_one_that_was_stored_is_taken_for_the_logs() {
        let cache = Cache::new(FIVE);
        let (kind, place) = (Kind::of::<Ledger>(), (Version(3), Position(70)));
        cache.put(ledger(), on_its_way(10, 1));
        // Decided on the same state by a command that could not see the first; the log takes the first.
        cache.put(ledger(), on_its_way(20, 2));
        assert!(
            cache
                .confirm(&ledger(), Version(2), place, Uuid::from_u128(1))
                .is_none()
        );
        let kept = cache.get(&ledger(), &kind).unwrap();
        assert!(kept.is_pending() && kept.seen() == Seen::OnItsWay(Uuid::from_u128(2)));

        let before = Warm::nothing(kind);
        cache.retract(&ledger(), &before, Uuid::from_u128(2));
        assert_eq!(cache.get(&ledger(), &kind).unwrap().version, Version::NONE);
    }

    #[test]
    fn what_is_stored_is_the_logs_from_then_on() {
        let cache = Cache::new(FIVE);
        cache.put(ledger(), on_its_way(10, 1));
        let place = (Version(3), Position(70));
        let stored = cache.confirm(&ledger(), Version(2), place, Uuid::from_u128(1));
        assert_eq!(stored.as_ref().map(total), Some(10));
        assert_eq!(stored.unwrap().seen(), Seen::At(Position(70)));
    }

    #[test]
    fn what_others_have_under_way_is_only_forgotten_by_those_who_failed() {
        let cache = Cache::new(FIVE);
        cache.put(ledger(), on_its_way(20, 2));
        let before = Warm::nothing(Kind::of::<Ledger>());
        cache.retract(&ledger(), &before, Uuid::from_u128(1));
        assert!(cache.get(&ledger(), &Kind::of::<Ledger>()).is_none());
    }
}
