//! Keys that were looked up lately: bounded in number and in time, and never fresher than a destruction.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use event_schema::PersonalKey;
use uuid::Uuid;

const MAX_KEYS: usize = 20_000;
/// How long another process may go on opening data whose key was destroyed here.
const LIFETIME: Duration = Duration::from_secs(60);

/// What is known of a person's key. That there is none yet is never known for long.
#[derive(Clone)]
pub(super) enum Known {
    Key(PersonalKey),
    Destroyed,
}

impl Known {
    pub(super) fn key(self) -> Option<PersonalKey> {
        match self {
            Self::Key(key) => Some(key),
            Self::Destroyed => None,
        }
    }
}

/// Clones share their content.
#[derive(Clone, Default)]
pub(super) struct KeyCache(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    known: HashMap<Uuid, (Instant, Known)>,
    /// In the order they came; the oldest leaves first.
    order: VecDeque<Uuid>,
    epoch: u64,
}

/// The moment before a look-up: what was read before a key was forgotten is not remembered after it.
#[derive(Clone, Copy)]
pub(super) struct Epoch(u64);

impl KeyCache {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn get(&self, person: Uuid) -> Option<Known> {
        let content = self.lock();
        let (since, known) = content.known.get(&person)?;
        match known {
            // Final.
            Known::Destroyed => Some(Known::Destroyed),
            Known::Key(_) if since.elapsed() < LIFETIME => Some(known.clone()),
            Known::Key(_) => None,
        }
    }

    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.lock().epoch)
    }

    pub(super) fn put(&self, before: Epoch, person: Uuid, known: Known) {
        let mut content = self.lock();
        if content.epoch == before.0 {
            content.insert(person, known);
        }
    }

    pub(super) fn destroyed(&self, person: Uuid) {
        let mut content = self.lock();
        content.epoch += 1;
        content.insert(person, Known::Destroyed);
    }

    pub(super) fn forget(&self, person: Uuid) {
        let mut content = self.lock();
        content.epoch += 1;
        // Its place in the order stays until it is the oldest; that a place is empty then does no harm.
        content.known.remove(&person);
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn insert(&mut self, person: Uuid, known: Known) {
        if self.known.insert(person, (Instant::now(), known)).is_none() {
            self.order.push_back(person);
        }
        while self.order.len() > MAX_KEYS {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Known {
        Known::Key(PersonalKey::generate().unwrap())
    }

    #[test]
    fn what_was_read_before_a_destruction_is_not_remembered_after_it() {
        let cache = KeyCache::new();
        let person = Uuid::from_u128(1);
        let before = cache.epoch();
        cache.destroyed(person);
        cache.put(before, person, key());
        assert!(matches!(cache.get(person), Some(Known::Destroyed)));

        let before = cache.epoch();
        cache.forget(person);
        cache.put(before, person, key());
        assert!(cache.get(person).is_none());
    }

    #[test]
    fn the_cache_is_bounded_also_when_keys_come_and_are_forgotten_without_end() {
        let cache = KeyCache::new();
        for number in 0..MAX_KEYS as u128 + 500 {
            let person = Uuid::from_u128(number);
            cache.put(cache.epoch(), person, Known::Destroyed);
            if number % 3 == 0 {
                cache.forget(person);
            }
        }
        let content = cache.lock();
        assert!(content.known.len() <= MAX_KEYS && content.order.len() <= MAX_KEYS);
        assert!(!content.known.contains_key(&Uuid::from_u128(1)));
    }
}
