//! What came of an attempt, and by the [policy](super::policy) what follows.

use std::time::Duration;

use event_schema::Timestamp;
use event_schema::ids::DeliveryId;
use event_schema::notification::{self as event, Event, Outcome};

use super::policy::{Ended, Next, Recovery};
use super::{Rejection, Stage, State, open};

/// The attempt ended, or more is known of one whose outcome was unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndAttempt {
    /// The message.
    pub delivery_id: DeliveryId,
    /// The attempt.
    pub attempt: u32,
    /// What the provider said.
    pub answer: Answer,
    /// What the provider offers when the outcome is unknown.
    pub recovery: Recovery,
    /// The moment.
    pub now: Timestamp,
}

/// What the provider said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it means.
    pub outcome: Outcome,
    /// The provider's name for the message.
    pub provider_id: Option<String>,
    /// Why, as a short code without personal data.
    pub cause: Option<String>,
    /// How much patience the provider asks for.
    pub retry_after: Option<Duration>,
}

impl EndAttempt {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let delivery = open(state, self.delivery_id)?;
        if self.attempt != delivery.attempts {
            return Err(Rejection::OtherAttempt);
        }
        let (provider, asked) = match &delivery.stage {
            Stage::Underway { provider, at } => (provider, Some(*at)),
            Stage::Unclear { provider, .. } => (provider, None),
            Stage::Waiting { .. } | Stage::Settled(_) => return Err(Rejection::OtherAttempt),
        };
        let Answer {
            outcome,
            provider_id,
            cause,
            retry_after,
        } = self.answer;
        let next = Ended {
            delivery,
            provider,
            asked,
            recovery: self.recovery,
            retry_after,
            now: self.now,
        }
        .next(outcome);
        let (settle, goes_on) = match next {
            Next::Settle(status) => (Some(status), None),
            Next::Ask { provider, at } => (None, Some((provider, at))),
        };
        let (next_provider, retry_at) = goes_on.unzip();
        let mut events = vec![
            event::AttemptEnded {
                delivery_id: self.delivery_id,
                attempt: self.attempt,
                provider: provider.clone(),
                outcome,
                provider_id,
                cause: cause.clone(),
                retry_at,
                next_provider,
            }
            .into(),
        ];
        events.extend(settle.map(|status| {
            Event::from(event::Settled {
                delivery_id: self.delivery_id,
                status,
                cause,
            })
        }));
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use event_schema::notification::Status;
    use event_schema::testing::given;

    use super::*;
    use crate::fixtures::at;
    use crate::notification::Notification;
    use crate::notification::fixtures::{
        FIRST, SECOND, attempted, end, ended, id, intent, settled, webhook,
    };

    const KEY: Recovery = Recovery::Key {
        lives: Duration::from_secs(24 * 3600),
    };
    const SECOND_MS: i64 = 1000;
    const MINUTE: i64 = 60 * SECOND_MS;
    const HOUR: i64 = 60 * MINUTE;

    fn tried() -> Vec<Event> {
        vec![intent().into(), attempted(1, FIRST, at(0))]
    }

    #[test]
    fn what_a_provider_took_is_over() {
        given::<Notification>(tried())
            .when(end(1, Outcome::Sent, Recovery::Nothing, at(1)))
            .then([ended(1, FIRST, Outcome::Sent, None), settled(Status::Sent)]);
    }

    #[test]
    fn what_is_rejected_for_its_address_is_tried_by_nobody_else() {
        given::<Notification>(tried())
            .when(end(1, Outcome::Rejected, KEY, at(1)))
            .then([
                ended(1, FIRST, Outcome::Rejected, None),
                settled(Status::Rejected),
            ]);
    }

    #[test]
    fn a_provider_that_is_away_is_tried_three_times_and_then_it_is_the_next_ones_turn_and_around() {
        let turns = [
            (FIRST, FIRST, SECOND_MS),
            (FIRST, FIRST, 5 * SECOND_MS),
            (FIRST, SECOND, 0),
            (SECOND, SECOND, SECOND_MS),
            (SECOND, SECOND, 5 * SECOND_MS),
            (SECOND, FIRST, 30 * SECOND_MS),
            (FIRST, FIRST, SECOND_MS),
        ];
        let mut past = vec![Event::from(intent())];
        for (attempt, (provider, next, wait)) in (1..).zip(turns) {
            past.push(attempted(attempt, provider, at(0)));
            let expected = ended(
                attempt,
                provider,
                Outcome::Transient,
                Some((next, at(wait))),
            );
            given::<Notification>(past.clone())
                .when(end(attempt, Outcome::Transient, KEY, at(0)))
                .then([expected.clone()]);
            past.push(expected);
        }
    }

    #[test]
    fn a_provider_that_asks_for_patience_gets_it_or_leaves_its_turn() {
        let asks_for = |seconds| {
            let mut end = end(1, Outcome::Transient, KEY, at(0));
            end.answer.retry_after = Some(Duration::from_secs(seconds));
            end
        };
        let next = Some((FIRST, at(30 * SECOND_MS)));
        given::<Notification>(tried())
            .when(asks_for(30))
            .then([ended(1, FIRST, Outcome::Transient, next)]);
        given::<Notification>(tried())
            .when(asks_for(3600))
            .then([ended(1, FIRST, Outcome::Transient, Some((SECOND, at(0))))]);
    }

    #[test]
    fn after_a_day_nobody_tries_any_more() {
        let now = at(24 * HOUR - 1);
        given::<Notification>([intent().into(), attempted(1, FIRST, now)])
            .when(end(1, Outcome::Transient, KEY, now))
            .then([
                ended(1, FIRST, Outcome::Transient, None),
                settled(Status::Failed),
            ]);
    }

    #[test]
    fn a_partners_system_is_given_three_days_with_growing_delays_of_at_most_one() {
        let mut past = vec![Event::from(webhook())];
        let (mut now, mut waits, mut attempt) = (0, Vec::new(), 1);
        let last = loop {
            past.push(attempted(attempt, FIRST, at(now)));
            let state = given::<Notification>(past.clone()).then_state();
            let events = end(attempt, Outcome::Transient, KEY, at(now))
                .decide(&state)
                .unwrap();
            let Some(Event::AttemptEnded(first)) = events.first() else {
                panic!("{events:?}");
            };
            let Some(retry_at) = first.retry_at else {
                break events;
            };
            let retry_ms = retry_at.as_millisecond() - at(0).as_millisecond();
            waits.push((retry_ms - now) / MINUTE);
            now = retry_ms;
            past.extend(events);
            attempt += 1;
        };
        assert_eq!(waits, [0, 5, 30, 120, 300, 600, 840, 1440]);
        assert_eq!(last.get(1), Some(&settled(Status::Failed)));
    }

    #[test]
    fn an_unknown_outcome_is_settled_by_the_same_call_under_the_same_key() {
        let unknown = ended(
            1,
            FIRST,
            Outcome::Unknown,
            Some((FIRST, at(10 * SECOND_MS))),
        );
        given::<Notification>(tried())
            .when(end(1, Outcome::Unknown, KEY, at(0)))
            .then([unknown.clone()]);
        let mut past = tried();
        past.extend([unknown, attempted(2, FIRST, at(10 * SECOND_MS))]);
        given::<Notification>(past)
            .when(end(2, Outcome::Sent, KEY, at(11 * SECOND_MS)))
            .then([ended(2, FIRST, Outcome::Sent, None), settled(Status::Sent)]);
    }

    #[test]
    fn a_repeat_that_is_turned_away_does_not_free_the_message_for_another_provider() {
        let mut past = tried();
        past.extend([
            ended(
                1,
                FIRST,
                Outcome::Unknown,
                Some((FIRST, at(10 * SECOND_MS))),
            ),
            attempted(2, FIRST, at(10 * SECOND_MS)),
        ]);
        let next = Some((FIRST, at(40 * SECOND_MS)));
        let state = given::<Notification>(past)
            .when(end(2, Outcome::Transient, KEY, at(10 * SECOND_MS)))
            .then([ended(2, FIRST, Outcome::Transient, next)]);
        assert_eq!(
            state.delivery(id()).unwrap().stage,
            Stage::Unclear {
                provider: FIRST.into(),
                retry_at: Some(at(40 * SECOND_MS)),
            }
        );
    }

    #[test]
    fn a_key_is_trusted_for_half_of_its_life_and_then_the_outcome_stays_unknown() {
        let mut past = tried();
        past.push(ended(
            1,
            FIRST,
            Outcome::Unknown,
            Some((FIRST, at(11 * HOUR))),
        ));
        past.push(attempted(2, FIRST, at(11 * HOUR)));
        given::<Notification>(past.clone())
            .when(end(2, Outcome::Unknown, KEY, at(11 * HOUR)))
            .then([ended(
                2,
                FIRST,
                Outcome::Unknown,
                Some((FIRST, at(11 * HOUR + 30 * SECOND_MS))),
            )]);
        given::<Notification>(past)
            .when(end(2, Outcome::Unknown, KEY, at(12 * HOUR)))
            .then([
                ended(2, FIRST, Outcome::Unknown, None),
                settled(Status::Unknown),
            ]);
    }

    #[test]
    fn a_provider_that_can_be_asked_settles_an_unknown_outcome_by_its_answer() {
        let mut past = tried();
        past.push(ended(
            1,
            FIRST,
            Outcome::Unknown,
            Some((FIRST, at(10 * SECOND_MS))),
        ));
        given::<Notification>(past.clone())
            .when(end(1, Outcome::Sent, Recovery::LookUp, at(11 * SECOND_MS)))
            .then([ended(1, FIRST, Outcome::Sent, None), settled(Status::Sent)]);
        let next = Some((FIRST, at(16 * SECOND_MS)));
        let state = given::<Notification>(past.clone())
            .when(end(
                1,
                Outcome::Transient,
                Recovery::LookUp,
                at(11 * SECOND_MS),
            ))
            .then([ended(1, FIRST, Outcome::Transient, next)]);
        assert_eq!(state.delivery(id()).unwrap().unclear, None);
        let next = Some((FIRST, at(41 * SECOND_MS)));
        given::<Notification>(past)
            .when(end(
                1,
                Outcome::Unknown,
                Recovery::LookUp,
                at(11 * SECOND_MS),
            ))
            .then([ended(1, FIRST, Outcome::Unknown, next)]);
    }

    #[test]
    fn what_nobody_can_tell_is_not_sent_again() {
        given::<Notification>(tried())
            .when(end(1, Outcome::Unknown, Recovery::Nothing, at(1)))
            .then([
                ended(1, FIRST, Outcome::Unknown, None),
                settled(Status::Unknown),
            ]);
    }

    #[test]
    fn an_agent_that_allows_duplicates_has_the_next_provider_tried() {
        let generous = event::Intended {
            allow_duplicates: true,
            ..intent()
        };
        let mut past = vec![generous.into(), attempted(1, FIRST, at(0))];
        for (attempt, next, wait) in [(1, FIRST, 1000), (2, FIRST, 5000), (3, SECOND, 0)] {
            let unknown = ended(attempt, FIRST, Outcome::Unknown, Some((next, at(wait))));
            given::<Notification>(past.clone())
                .when(end(attempt, Outcome::Unknown, Recovery::Nothing, at(0)))
                .then([unknown.clone()]);
            past.push(unknown);
            past.push(attempted(attempt + 1, next, at(0)));
        }
        let state = given::<Notification>(past).then_state();
        assert_eq!(state.delivery(id()).unwrap().unclear, None);
    }

    #[test]
    fn an_outcome_that_comes_late_changes_nothing() {
        let mut past = tried();
        past.push(ended(1, FIRST, Outcome::Transient, Some((FIRST, at(1000)))));
        given::<Notification>(past.clone())
            .when(end(1, Outcome::Sent, KEY, at(2000)))
            .then_rejected(Rejection::OtherAttempt);
        past.push(attempted(2, FIRST, at(1000)));
        given::<Notification>(past)
            .when(end(1, Outcome::Sent, KEY, at(2000)))
            .then_rejected(Rejection::OtherAttempt);
        given::<Notification>([intent().into(), settled(Status::Unknown)])
            .when(end(0, Outcome::Sent, KEY, at(2000)))
            .then_rejected(Rejection::Settled);
        given::<Notification>([])
            .when(end(1, Outcome::Sent, KEY, at(2000)))
            .then_rejected(Rejection::NotIntended);
    }

    #[test]
    fn the_oldest_settled_messages_of_a_long_history_are_forgotten_and_none_that_is_open() {
        let mut past = vec![Event::from(intent())];
        for n in 0..600 {
            let other = event::Intended {
                delivery_id: event_schema::ids::DeliveryId(uuid::Uuid::from_u128(1000 + n)),
                ..intent()
            };
            past.push(other.clone().into());
            past.push(
                event::Settled {
                    delivery_id: other.delivery_id,
                    status: Status::Sent,
                    cause: None,
                }
                .into(),
            );
        }
        let state = given::<Notification>(past).then_state();
        assert_eq!(state.deliveries().count(), 513);
        assert!(state.delivery(id()).unwrap().is_open());
    }
}
