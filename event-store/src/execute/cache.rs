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
    /// The log was asked when it had reached this position, and had nothing newer.
    pub(crate) checked_to: Option<Position>,
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
            checked_to: None,
            origin: None,
            snapshot: None,
            pending: None,
            on_its_way: None,
        }
    }

    /// Whether nothing up to a position is missing in it.
    pub(crate) fn covers(&self, position: Position) -> bool {
        self.position >= Some(position) || self.checked_to >= Some(position)
    }

    /// The same once its last event is in the log.
    fn stored(&self, begins_here: bool, (version, position): (Version, Position)) -> Self {
        let mut stored = Self {
            version,
            position: Some(position),
            pending: None,
            on_its_way: None,
            ..self.clone()
        };
        stored.begin_at(begins_here, (version, position));
        stored
    }

    /// Takes over where the history begins from another state of it.
    fn learn_beginning(&mut self, known: &Self) {
        if let (Some(mine), Some(known)) = (&mut self.origin, &known.origin)
            && mine.command_id == known.command_id
        {
            mine.position = mine.position.or(known.position);
        }
    }

    /// Fills in where a history begins, once that is known.
    fn begin_at(&mut self, begins_here: bool, (version, position): (Version, Position)) {
        if let Some(origin) = self.origin.as_mut().filter(|_| begins_here) {
            let events = version.0.saturating_sub(1);
            origin
                .position
                .get_or_insert(Position(position.0.saturating_sub(events)));
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

/// What is kept of one history.
struct Kept {
    /// The newest that was decided here or loaded.
    warm: Warm,
    /// While that is on its way: the newest that is in the log for certain.
    stored: Option<Warm>,
}

/// The bounded cache.
pub(crate) struct Cache(Mutex<LruCache<Subject, Kept>>);

impl Cache {
    pub(crate) fn new(states_max: NonZeroUsize) -> Self {
        Self(Mutex::new(LruCache::new(states_max)))
    }

    fn states(&self) -> MutexGuard<'_, LruCache<Subject, Kept>> {
        // Every operation below is one call of the cache, so a panic elsewhere cannot leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, subject: &Subject, kind: &Kind) -> Option<Warm> {
        let mut states = self.states();
        let warm = &states.get(subject)?.warm;
        (warm.kind.type_id == kind.type_id).then(|| warm.clone())
    }

    /// The newest state that is in the log for certain.
    pub(crate) fn stored(&self, subject: &Subject, kind: &Kind) -> Option<Warm> {
        let mut states = self.states();
        let kept = states.get(subject)?;
        let stored = match kept.warm.is_pending() {
            true => kept.stored.as_ref()?,
            false => &kept.warm,
        };
        (stored.kind.type_id == kind.type_id).then(|| stored.clone())
    }

    /// Keeps what was decided, which is newer than anything loaded; gives back the state that had to leave for it.
    pub(crate) fn put(&self, subject: Subject, warm: Warm) -> Option<(Subject, Warm)> {
        let mut states = self.states();
        let mut kept = Kept { warm, stored: None };
        if let Some(before) = states.peek_mut(&subject) {
            kept.warm.snapshot = kept.warm.snapshot.max(before.snapshot());
            kept.stored = before.take_stored();
        }
        put(&mut states, subject, kept)
    }

    /// Keeps what was loaded, unless a newer state is there already.
    pub(crate) fn put_loaded(&self, subject: Subject, warm: Warm) -> Option<(Subject, Warm)> {
        let mut states = self.states();
        if let Some(kept) = states.peek_mut(&subject)
            && kept.warm.kind.type_id == warm.kind.type_id
            && kept.warm.version > warm.version
        {
            kept.is_stored(warm);
            return None;
        }
        let stored = None;
        put(&mut states, subject, Kept { warm, stored })
    }

    pub(crate) fn forget(&self, subject: &Subject) {
        self.states().pop(subject);
    }

    /// The event `last` of this process and those with it did not (surely) reach the log: takes back what was built on
    /// them. What is there may be built on others by now; then it goes back to what is in the log.
    pub(crate) fn retract(&self, subject: &Subject, before: &Warm, last: Uuid) {
        let mut states = self.states();
        let Some(kept) = states
            .peek_mut(subject)
            .filter(|kept| kept.warm.is_pending())
        else {
            return;
        };
        if let Some(stored) = kept.stored.take() {
            kept.warm = stored;
        } else if before.is_pending() || kept.warm.on_its_way != Some(last) {
            states.pop(subject);
        } else {
            kept.warm = before.clone();
        }
    }

    /// Events of this process have reached the log, the last of them at `last`: fills in what only the log knows.
    /// `before` and `decided` are the states without and with them. Gives back the confirmed state, unless a newer one is
    /// in the log. What is kept of the same version may be another: two that were decided on the same state are both
    /// there for a while, and the log takes one.
    pub(crate) fn confirm(
        &self,
        subject: &Subject,
        before: Version,
        last: (Version, Position),
        decided: &Warm,
    ) -> Option<Warm> {
        let mut states = self.states();
        let kept = states.peek_mut(subject)?;
        let begins_here = before == Version::NONE;
        for known in std::iter::once(&mut kept.warm).chain(&mut kept.stored) {
            known.begin_at(begins_here, last);
        }
        let mut stored = decided.stored(begins_here, last);
        // Since this was decided, others may have learnt where the history begins, and that a snapshot was written.
        stored.snapshot = stored.snapshot.max(kept.snapshot());
        for known in std::iter::once(&kept.warm).chain(&kept.stored) {
            stored.learn_beginning(known);
        }
        if kept.warm.is_pending() && kept.warm.on_its_way != decided.on_its_way {
            return kept.is_stored(stored.clone()).then_some(stored);
        }
        if kept.warm.is_pending() || kept.warm.version < stored.version {
            kept.warm = stored.clone();
            kept.stored = None;
            return Some(stored);
        }
        None
    }

    pub(crate) fn note_snapshot(&self, subject: &Subject, place: Option<(Version, Position)>) {
        if let Some(kept) = self.states().peek_mut(subject) {
            for known in std::iter::once(&mut kept.warm).chain(&mut kept.stored) {
                known.snapshot = known.snapshot.max(place);
            }
        }
    }
}

impl Kept {
    fn snapshot(&self) -> Option<(Version, Position)> {
        let stored = self.stored.as_ref().and_then(|stored| stored.snapshot);
        self.warm.snapshot.max(stored)
    }

    fn take_stored(&mut self) -> Option<Warm> {
        match self.warm.is_pending() {
            true => self.stored.take(),
            false => Some(self.warm.clone()),
        }
    }

    /// This state is in the log, below what is on its way; false when a newer one is known to be.
    fn is_stored(&mut self, warm: Warm) -> bool {
        let newer = self.warm.is_pending()
            && self
                .stored
                .as_ref()
                .is_none_or(|known| known.version <= warm.version);
        if newer {
            self.stored = Some(warm);
        }
        newer
    }
}

fn put(
    states: &mut LruCache<Subject, Kept>,
    subject: Subject,
    kept: Kept,
) -> Option<(Subject, Warm)> {
    let (left, kept) = states.push(subject.clone(), kept)?;
    (left != subject).then_some((left, kept.warm))
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
        let stored = cache.confirm(&ledger(), Version(2), place, &on_its_way(10, 1));
        assert_eq!(stored.as_ref().map(total), Some(10));
        let kept = cache.get(&ledger(), &kind).unwrap();
        assert!(kept.is_pending() && kept.seen() == Seen::OnItsWay(Uuid::from_u128(2)));
        assert_eq!(total(&cache.stored(&ledger(), &kind).unwrap()), 10);

        let before = Warm::nothing(kind);
        cache.retract(&ledger(), &before, Uuid::from_u128(2));
        let kept = cache.get(&ledger(), &kind).unwrap();
        assert_eq!((total(&kept), kept.seen()), (10, Seen::At(Position(70))));
    }

    #[test]
    fn what_is_stored_is_the_logs_from_then_on() {
        let cache = Cache::new(FIVE);
        cache.put(ledger(), on_its_way(10, 1));
        let place = (Version(3), Position(70));
        let stored = cache.confirm(&ledger(), Version(2), place, &on_its_way(10, 1));
        assert_eq!(stored.as_ref().map(total), Some(10));
        assert_eq!(stored.unwrap().seen(), Seen::At(Position(70)));
    }

    #[test]
    fn what_fails_falls_back_to_what_is_in_the_log_and_not_to_nothing() {
        let cache = Cache::new(FIVE);
        let (kind, next) = (Kind::of::<Ledger>(), |total, version, event| Warm {
            version: Version(version),
            ..on_its_way(total, event)
        });
        let stored = |cache: &Cache| cache.stored(&ledger(), &kind).as_ref().map(total);
        cache.put(ledger(), next(10, 3, 1));
        assert_eq!(
            stored(&cache),
            None,
            "nothing of it is known to be in the log"
        );
        let place = (Version(3), Position(70));
        cache.confirm(&ledger(), Version(2), place, &next(10, 3, 1));
        // Three more ride on each other; the log takes the first of them.
        for (total, version, event) in [(20, 4, 2), (30, 5, 3), (40, 6, 4)] {
            cache.put(ledger(), next(total, version, event));
        }
        assert_eq!(stored(&cache), Some(10));
        let place = (Version(4), Position(71));
        cache.confirm(&ledger(), Version(3), place, &next(20, 4, 2));
        assert_eq!(
            stored(&cache),
            Some(20),
            "it is shown before the others are known"
        );
        assert_eq!(total(&cache.get(&ledger(), &kind).unwrap()), 40);
        cache.retract(&ledger(), &next(20, 4, 2), Uuid::from_u128(3));
        cache.retract(&ledger(), &next(30, 5, 3), Uuid::from_u128(4));
        let kept = cache.get(&ledger(), &kind).unwrap();
        assert_eq!((total(&kept), kept.seen()), (20, Seen::At(Position(71))));
    }

    #[test]
    fn where_a_history_begins_is_not_forgotten_by_those_who_were_decided_before_it_was_known() {
        let begun = |total, version, event| Warm {
            version: Version(version),
            origin: Some(Origin {
                command_id: CommandId(Uuid::from_u128(9)),
                command_hash: None,
                position: None,
            }),
            ..on_its_way(total, event)
        };
        let kind = Kind::of::<Ledger>();
        let beginning = |cache: &Cache| {
            let stored = cache.stored(&ledger(), &kind).unwrap();
            stored.origin.unwrap().position
        };
        let confirmations: [(Version, u64, Warm); 2] = [
            (Version::NONE, 70, begun(10, 1, 1)),
            (Version(1), 75, begun(20, 2, 2)),
        ];
        for order in [[0, 1], [1, 0]] {
            let cache = Cache::new(FIVE);
            for (total, version, event) in [(10, 1, 1), (20, 2, 2), (30, 3, 3)] {
                cache.put(ledger(), begun(total, version, event));
            }
            for which in order {
                let (before, position, decided) = &confirmations[which];
                let last = (decided.version, Position(*position));
                cache.confirm(&ledger(), *before, last, decided);
            }
            assert_eq!(beginning(&cache), Some(Position(70)), "{order:?}");
            cache.note_snapshot(&ledger(), Some((Version(2), Position(75))));
            cache.retract(&ledger(), &begun(20, 2, 2), Uuid::from_u128(3));
            let kept = cache.get(&ledger(), &kind).unwrap();
            assert_eq!(kept.snapshot, Some((Version(2), Position(75))));
            assert_eq!((total(&kept), beginning(&cache)), (20, Some(Position(70))));
        }
    }

    #[test]
    fn what_was_looked_through_up_to_a_position_covers_it() {
        let warm = Warm {
            checked_to: Some(Position(90)),
            ..on_its_way(10, 1).stored(false, (Version(3), Position(70)))
        };
        assert!(warm.covers(Position(70)) && warm.covers(Position(90)));
        assert!(!warm.covers(Position(91)));
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
