//! Whether others may believe us dead: asked before every effect, by the clock and not by a flag, because a process that
//! was frozen has no chance to clear a flag before it goes on.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::SELF_DOUBT_AFTER;

/// When this process has last been seen to be alive.
#[derive(Debug, Default)]
pub struct Pulse(Mutex<Option<Instant>>);

impl Pulse {
    /// Our sign of life was taken; it was sent at this moment.
    pub fn beat(&self, sent: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sent);
    }

    /// Whether nobody can have taken our shares over for our silence yet.
    pub fn is_felt(&self) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() <= SELF_DOUBT_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_silent_for_too_long_doubts_itself_at_once() {
        let pulse = Pulse::default();
        assert!(!pulse.is_felt());
        pulse.beat(Instant::now());
        assert!(pulse.is_felt());
        let long_ago = Instant::now().checked_sub(SELF_DOUBT_AFTER * 2);
        pulse.beat(long_ago.unwrap());
        assert!(!pulse.is_felt());
    }
}
