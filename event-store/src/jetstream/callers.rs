//! Fairness: how many groups each caller has waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_schema::Actor;

use crate::store::WAITING_GROUPS_PER_CALLER_MAX;

/// Who waits how often. A caller with nothing waiting takes no room.
#[derive(Debug, Clone, Default)]
pub(crate) struct Callers(Arc<Mutex<HashMap<String, usize>>>);

/// One place in the queue; given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    callers: Callers,
    caller: String,
}

impl Callers {
    fn waiting(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for the caller, or how many it has already.
    pub(crate) fn enter(&self, caller: &Actor) -> Result<Turn, usize> {
        // The system's own parts are nobody's greed; what they work on at once is limited where they get it from.
        let ours = [Actor::saga(), Actor::notifier(), Actor::system()].contains(caller);
        let caller = caller.as_str();
        let mut all = self.waiting();
        let waiting = all.entry(caller.to_owned()).or_default();
        if *waiting >= WAITING_GROUPS_PER_CALLER_MAX && !ours {
            return Err(*waiting);
        }
        *waiting += 1;
        Ok(Turn {
            callers: self.clone(),
            caller: caller.to_owned(),
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut all = self.callers.waiting();
        if let Some(waiting) = all.get_mut(&self.caller) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                all.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_fills_up_while_another_still_enters() {
        let callers = Callers::default();
        let [greedy, modest] =
            ["customer:1", "customer:2"].map(|caller| Actor::from(caller.to_owned()));
        let mut turns: Vec<_> = (0..WAITING_GROUPS_PER_CALLER_MAX)
            .map(|_| callers.enter(&greedy).unwrap())
            .collect();
        assert_eq!(
            callers.enter(&greedy).unwrap_err(),
            WAITING_GROUPS_PER_CALLER_MAX
        );
        drop(callers.enter(&modest).unwrap());
        turns.pop();
        turns.push(callers.enter(&greedy).unwrap());
        for _ in 0..=WAITING_GROUPS_PER_CALLER_MAX {
            turns.push(callers.enter(&Actor::saga()).unwrap());
        }
        drop(turns);
        assert!(callers.waiting().is_empty());
    }
}
