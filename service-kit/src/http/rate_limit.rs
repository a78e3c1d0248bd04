//! How much one caller may ask: GCRA per token subject, else per address, in a map that cannot grow without end.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use uuid::Uuid;

/// Generous: people and honest programs never notice it.
const DEFAULT_PER_SECOND: NonZeroU32 = NonZeroU32::new(200).unwrap();
const DEFAULT_BURST: NonZeroU32 = NonZeroU32::new(400).unwrap();
/// After so many requests, callers who have their full share again are forgotten.
const FORGET_EVERY_REQUESTS: u64 = 4_096;
/// More callers at once than this share one allowance, so that made-up callers cannot fill the memory.
const MAX_CALLERS: usize = 100_000;

/// How much a caller may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests a second, in the long run.
    pub per_second: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            per_second: DEFAULT_PER_SECOND,
            burst: DEFAULT_BURST,
        }
    }
}

/// Whose allowance a request uses up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Subject(Uuid),
    Address(IpAddr),
    /// Everybody who comes while the map is full.
    Crowd,
}

pub(super) struct Limiter {
    limiter: DefaultKeyedRateLimiter<Key>,
    clock: DefaultClock,
    requests: AtomicU64,
    max_callers: usize,
}

impl Limiter {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self::bounded(limit, MAX_CALLERS)
    }

    fn bounded(limit: RateLimit, max_callers: usize) -> Self {
        let quota = Quota::per_second(limit.per_second).allow_burst(limit.burst);
        Self {
            limiter: RateLimiter::keyed(quota),
            clock: DefaultClock::default(),
            requests: AtomicU64::new(0),
            max_callers,
        }
    }

    /// Uses up one request of the caller's allowance, or says how long he must wait.
    pub(super) fn check(&self, key: Key) -> Result<(), Duration> {
        let count = self.requests.fetch_add(1, Ordering::Relaxed);
        if count.is_multiple_of(FORGET_EVERY_REQUESTS) {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        let key = if self.limiter.len() >= self.max_callers {
            Key::Crowd
        } else {
            key
        };
        self.limiter
            .check_key(&key)
            .map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(per_second: u32, burst: u32) -> RateLimit {
        RateLimit {
            per_second: NonZeroU32::new(per_second).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
        }
    }

    #[test]
    fn each_caller_has_an_allowance_of_his_own() {
        let limiter = Limiter::new(limit(1, 2));
        let (ada, bob) = (
            Key::Subject(Uuid::from_u128(1)),
            Key::Subject(Uuid::from_u128(2)),
        );
        assert!(limiter.check(ada).is_ok() && limiter.check(ada).is_ok());
        let wait = limiter.check(ada).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1));
        assert!(limiter.check(bob).is_ok());
    }

    #[test]
    fn made_up_callers_cannot_fill_the_memory_and_share_one_allowance_in_the_end() {
        let limiter = Limiter::bounded(limit(1, 1), 10);
        let refused = (0..1_000)
            .filter(|number| {
                limiter
                    .check(Key::Subject(Uuid::from_u128(*number)))
                    .is_err()
            })
            .count();
        assert!(limiter.limiter.len() <= 11);
        assert!(refused >= 900, "{refused}");
    }
}
