//! One writer per history within a process, so that conflicts come from other processes only.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use event_schema::Subject;

/// How many locks there are. Two histories that share one only wait for each other needlessly.
const LOCKS: usize = 4096;

/// A fixed set of locks; a history's lock is picked by hash, so the set never grows.
pub(crate) struct Locks {
    locks: Vec<Arc<Mutex<()>>>,
    hasher: RandomState,
}

/// Locks that one command holds.
#[derive(Default)]
pub(crate) struct Held {
    slots: BTreeSet<usize>,
    guards: Vec<OwnedMutexGuard<()>>,
}

impl Locks {
    pub(crate) fn new() -> Self {
        Self {
            locks: (0..LOCKS).map(|_| Arc::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Takes the locks of some histories besides those held. Gives back whether nothing had to be let go meanwhile:
    /// waiting with locks in hand could never end, so it lets go and takes all of them in one order.
    pub(crate) async fn extend(
        &self,
        held: &mut Held,
        subjects: impl Iterator<Item = &Subject>,
    ) -> bool {
        let hash =
            |subject| usize::try_from(self.hasher.hash_one(subject) % LOCKS as u64).unwrap_or(0);
        let missing: BTreeSet<usize> = subjects
            .map(hash)
            .filter(|slot| !held.slots.contains(slot))
            .collect();
        let first = held.slots.is_empty();
        let lock = |slot: usize| self.locks.get(slot).map(Arc::clone);
        let tried: Option<Vec<_>> = missing
            .iter()
            .filter_map(|slot| lock(*slot))
            .map(|lock| lock.try_lock_owned().ok())
            .collect();
        held.slots.extend(missing);
        if let Some(guards) = tried {
            held.guards.extend(guards);
            return true;
        }
        held.guards.clear();
        for lock in held.slots.iter().filter_map(|slot| lock(*slot)) {
            held.guards.push(lock.lock_owned().await);
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn two_commands_that_want_each_others_histories_both_finish() {
        let locks = Arc::new(Locks::new());
        let [a, b] = [1, 2].map(|n| Subject::history("order", Uuid::from_u128(n)));
        let run = |first: Subject, second: Subject| {
            let locks = Arc::clone(&locks);
            tokio::spawn(async move {
                for _ in 0..500 {
                    let mut held = Held::default();
                    locks.extend(&mut held, [&first].into_iter()).await;
                    tokio::task::yield_now().await;
                    locks.extend(&mut held, [&second].into_iter()).await;
                    assert_eq!(held.guards.len(), 2);
                }
            })
        };
        let (one, two) = (run(a.clone(), b.clone()), run(b, a));
        tokio::time::timeout(Duration::from_secs(20), async {
            (one.await.unwrap(), two.await.unwrap())
        })
        .await
        .expect("neither waits for ever");
    }
}
