//! How long the saga waits for what. Settings of the installation; no decision reads them from anywhere else.

use std::time::Duration;

use event_schema::Timestamp;

/// Longest pause that a provider may ask for with Retry-After.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// Times that an outcome is asked about at least, before the patience with it is used up.
const ASKED_AT_LEAST: u32 = 10;
/// Under this a shorter patience shortens no pause.
const SHORTEST_LONG_PAUSE: Duration = Duration::from_secs(1);

/// How long the saga waits for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How long a customer may take on the provider's page.
    pub time_to_pay: Duration,
    /// How long units are held, unless the money is being taken.
    pub hold_expiry: Duration,
    /// How long a call may take; then its outcome is unknown.
    pub answer_deadline: Duration,
    /// How long an outcome may stay unknown while the provider can be reached; forward and back each.
    pub unknown_budget: Duration,
    /// How long the provider may keep saying "later" to a forward step.
    pub retry_budget: Duration,
    /// How long the provider may keep saying "later" to a compensation.
    pub compensation_retry_budget: Duration,
    /// Pause after the first try.
    pub first_backoff: Duration,
    /// Longest pause between two tries; it doubles up to here, or to a tenth of `unknown_budget` if that is less.
    pub longest_backoff: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            time_to_pay: Duration::from_secs(15 * 60),
            hold_expiry: Duration::from_secs(20 * 60),
            answer_deadline: Duration::from_secs(5),
            unknown_budget: Duration::from_secs(15 * 60),
            retry_budget: Duration::from_secs(15 * 60),
            compensation_retry_budget: Duration::from_secs(60 * 60),
            first_backoff: Duration::from_millis(250),
            longest_backoff: Duration::from_secs(30),
        }
    }
}

impl Policy {
    /// The pause after the given try (from 1), at least as long as the provider asks for.
    pub(super) fn backoff(&self, attempt: u32, retry_after: Option<Duration>) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let doubled = self
            .first_backoff
            .saturating_mul(2u32.saturating_pow(doublings))
            .min(self.longest_pause());
        retry_after.map_or(doubled, |asked| asked.min(LONGEST_RETRY_AFTER).max(doubled))
    }

    /// Whoever has less patience asks more often: after an outage an order waits for a part of it at most.
    fn longest_pause(&self) -> Duration {
        let part = (self.unknown_budget / ASKED_AT_LEAST).max(SHORTEST_LONG_PAUSE);
        self.longest_backoff.min(part)
    }
}

/// So long after a moment.
pub(super) fn after(moment: Timestamp, wait: Duration) -> Timestamp {
    moment.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

/// How long ago a moment was; nothing for one that has not come.
pub(super) fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::at;

    #[test]
    fn pauses_double_from_a_quarter_second_to_half_a_minute() {
        let policy = Policy::default();
        let pauses: Vec<_> = (1..=9)
            .map(|attempt| policy.backoff(attempt, None).as_millis())
            .collect();
        assert_eq!(
            pauses,
            [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]
        );
        assert_eq!(policy.backoff(u32::MAX, None).as_millis(), 30_000);
    }

    #[test]
    fn whoever_has_less_patience_pauses_less_but_a_second_at_the_end() {
        let longest = |patience| {
            let policy = Policy {
                unknown_budget: Duration::from_secs(patience),
                ..Policy::default()
            };
            policy.backoff(u32::MAX, None).as_millis()
        };
        assert_eq!([longest(60), longest(8), longest(0)], [6000, 1000, 1000]);
        assert_eq!(longest(3600), 30_000);
    }

    #[test]
    fn a_provider_that_asks_for_a_longer_pause_gets_it_within_an_hour() {
        let policy = Policy::default();
        let asked = |seconds| {
            policy
                .backoff(1, Some(Duration::from_secs(seconds)))
                .as_secs_f64()
        };
        assert_eq!(asked(90), 90.0);
        assert_eq!(asked(0), 0.25);
        assert_eq!(asked(86_400), 3600.0);
    }

    #[test]
    fn a_moment_that_has_not_come_was_no_time_ago() {
        assert_eq!(elapsed(at(0), at(1500)), Duration::from_millis(1500));
        assert_eq!(elapsed(at(1500), at(0)), Duration::ZERO);
    }
}
