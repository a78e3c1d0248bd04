//! What follows an attempt: the table of retries, fallback and unknown outcomes.
//!
//! | Outcome | What follows |
//! |---|---|
//! | sent | settled |
//! | rejected | settled; no provider will do better for this address |
//! | transient | the same provider again, up to three times, then the next in order, and around; for a day in all |
//! | unknown | what the provider offers: the same call under the same key while the key lives, or the question whether it was sent; nothing else, unless the agent allows duplicates |
//!
//! A webhook has one provider: growing delays up to a day, three days in all.

use std::time::Duration;

use event_schema::Timestamp;
use event_schema::notification::{Channel, Intended, Outcome, Status};

use super::state::Delivery;

/// What may be done after an unknown outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// The same call again, under the same key, within this time.
    Key {
        /// How long the provider remembers a key.
        lives: Duration,
    },
    /// The provider can be asked whether it was sent.
    LookUp,
    /// Nothing: the documented exception. It is never sent again.
    Nothing,
}

/// How often one provider is tried before it is the next one's turn.
const TRIES: u32 = 3;
/// What passes between the tries at one provider.
const BETWEEN_TRIES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
/// What passes before the first provider is tried again, by round; the last one holds from then on.
const BETWEEN_ROUNDS: [Duration; 5] = [
    Duration::from_secs(30),
    Duration::from_secs(2 * MINUTE),
    Duration::from_secs(10 * MINUTE),
    Duration::from_secs(30 * MINUTE),
    Duration::from_secs(HOUR),
];
/// What passes between two attempts at a partner's system; the last one holds from then on.
const WEBHOOK: [Duration; 8] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * MINUTE),
    Duration::from_secs(30 * MINUTE),
    Duration::from_secs(2 * HOUR),
    Duration::from_secs(5 * HOUR),
    Duration::from_secs(10 * HOUR),
    Duration::from_secs(14 * HOUR),
    Duration::from_secs(DAY),
];
/// What passes before an unknown outcome is looked into, by failure; the last one holds from then on. Long enough for a
/// message that was still on its way to be seen by a look-up.
const UNCLEAR: [Duration; 5] = [
    LOOK_UP_AFTER,
    Duration::from_secs(30),
    Duration::from_secs(2 * MINUTE),
    Duration::from_secs(10 * MINUTE),
    Duration::from_secs(HOUR),
];
/// A provider that asks for more patience than this leaves its turn to the next one.
const PATIENCE: Duration = Duration::from_secs(MINUTE);
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How old an attempt must be before the answer "not sent" to a look-up counts.
pub const LOOK_UP_AFTER: Duration = Duration::from_secs(10);

/// What is done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Settle(Status),
    /// This provider is asked at this moment.
    Ask { provider: String, at: Timestamp },
}

/// When nothing is tried any more: a day after it could first be sent, three for a partner's system.
pub fn deadline(intent: &Intended) -> Timestamp {
    let days = match intent.channel {
        Channel::Webhook => 3,
        Channel::Email | Channel::Sms | Channel::Push => 1,
    };
    let begins = intent
        .not_before
        .map_or(intent.intended_at, |at| at.max(intent.intended_at));
    later(begins, Duration::from_secs(days * DAY))
}

/// What an ended attempt means.
pub(super) struct Ended<'d> {
    pub(super) delivery: &'d Delivery,
    pub(super) provider: &'d str,
    /// When the provider was asked; none when this is the answer to a later look-up.
    pub(super) asked: Option<Timestamp>,
    pub(super) recovery: Recovery,
    pub(super) retry_after: Option<Duration>,
    pub(super) now: Timestamp,
}

impl Ended<'_> {
    pub(super) fn next(&self, outcome: Outcome) -> Next {
        let may_be_sent = self.delivery.unclear.is_some() && self.asked.is_some();
        match outcome {
            Outcome::Sent => Next::Settle(Status::Sent),
            Outcome::Rejected => Next::Settle(Status::Rejected),
            // That a repeat was turned away says nothing of the first call.
            Outcome::Transient if may_be_sent => self.unknown(),
            Outcome::Transient => self.fall_back(Status::Failed),
            Outcome::Unknown => self.unknown(),
        }
    }

    fn unknown(&self) -> Next {
        let since = match (&self.delivery.unclear, self.asked) {
            (Some(unclear), _) => unclear.since,
            (None, Some(asked)) => asked,
            (None, None) => self.now,
        };
        let wait = step(&UNCLEAR, self.delivery.failures).max(self.retry_after.unwrap_or_default());
        let at = later(self.now, wait);
        let ends = match self.recovery {
            // Half of its life: a clock that was set back must not make a dead key look alive.
            Recovery::Key { lives } => later(since, lives / 2).min(self.deadline()),
            Recovery::LookUp => self.deadline(),
            Recovery::Nothing => since,
        };
        if at < ends {
            return Next::Ask {
                provider: self.provider.to_owned(),
                at,
            };
        }
        if self.delivery.intent.allow_duplicates {
            self.fall_back(Status::Unknown)
        } else {
            Next::Settle(Status::Unknown)
        }
    }

    /// The same provider again, or the next one; when there is no time left it ends like this.
    fn fall_back(&self, otherwise: Status) -> Next {
        let (provider, wait) = self.turn();
        let at = later(self.now, wait);
        if at < self.deadline() {
            Next::Ask { provider, at }
        } else {
            Next::Settle(otherwise)
        }
    }

    fn turn(&self) -> (String, Duration) {
        let Delivery {
            intent,
            failures,
            in_a_row,
            ..
        } = self.delivery;
        let asked_for = self.retry_after.unwrap_or_default();
        let same = |wait: Duration| (self.provider.to_owned(), wait.max(asked_for));
        if intent.channel == Channel::Webhook {
            return same(step(&WEBHOOK, *failures));
        }
        let order = &intent.providers;
        let tried_enough = (in_a_row + 1).is_multiple_of(TRIES);
        let impatient = asked_for > PATIENCE && order.len() > 1;
        if !tried_enough && !impatient {
            return same(step(&BETWEEN_TRIES, in_a_row % TRIES));
        }
        let place = order.iter().position(|name| name == self.provider);
        if let Some(next) = place.and_then(|place| order.get(place + 1)) {
            return (next.clone(), Duration::ZERO);
        }
        let whole = TRIES.saturating_mul(u32::try_from(order.len()).unwrap_or(u32::MAX));
        let pause = step(&BETWEEN_ROUNDS, failures / whole.max(1));
        match order.first() {
            Some(first) if first != self.provider => (first.clone(), pause),
            _ => same(pause),
        }
    }

    fn deadline(&self) -> Timestamp {
        deadline(&self.delivery.intent)
    }
}

fn step(delays: &[Duration], index: u32) -> Duration {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    delays
        .get(index)
        .or(delays.last())
        .copied()
        .unwrap_or_default()
}

/// The end of time rather than an overflow.
fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
