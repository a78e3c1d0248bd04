//! The clock. Nothing else in Waybill reads the wall clock, so tests and replays decide what time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use uuid::{NoContext, Uuid};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Tells the time: the system's, or one that a test sets.
#[derive(Debug, Clone, Default)]
pub struct Clock(Source);

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    System,
    /// Milliseconds since the Unix epoch, shared by all clones.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `start` until [`Clock::advance`] moves it. Clones move together.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(
            start.as_millisecond(),
        ))))
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp::now(),
            Source::Manual(millis) => {
                Timestamp::from_millisecond(millis.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// Moves a manual clock forward; the system's clock is not moved by anybody.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(millis) = &self.0 {
            let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
            // Saturating: a test that jumps past the end of time stays there instead of wrapping into the past.
            let _previous = millis.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| {
                Some(now.saturating_add(by))
            });
        }
    }

    /// A new id (UUIDv7) whose time is this clock's.
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        match &self.0 {
            // The library's own counter keeps ids of one millisecond in order.
            Source::System => Uuid::now_v7(),
            Source::Manual(_) => {
                let nanos = self.now().as_nanosecond().max(0);
                let per_second = i128::from(NANOS_PER_SECOND);
                let seconds = u64::try_from(nanos / per_second).unwrap_or(u64::MAX);
                let rest = u32::try_from(nanos % per_second).unwrap_or(0);
                Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, rest))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told_and_all_clones_with_it() {
        let clock = Clock::manual(Timestamp::from_second(1_700_000_000).unwrap());
        let clone = clock.clone();
        assert_eq!(clock.now().as_second(), 1_700_000_000);
        clone.advance(Duration::from_millis(1_500));
        assert_eq!(clock.now().as_millisecond(), 1_700_000_001_500);
    }

    #[test]
    fn ids_carry_the_time_of_the_clock_that_made_them() {
        let clock = Clock::manual(Timestamp::from_second(1_700_000_000).unwrap());
        let id = clock.new_id();
        assert_eq!(id.get_version_num(), 7);
        let (seconds, _) = id.get_timestamp().unwrap().to_unix();
        assert_eq!(seconds, 1_700_000_000);
        assert_ne!(id, clock.new_id());
    }

    #[test]
    fn a_clock_moved_past_the_end_of_time_stays_there() {
        let clock = Clock::manual(Timestamp::from_second(0).unwrap());
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
