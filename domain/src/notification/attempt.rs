//! A provider is about to be asked. Only one who has recorded this may ask.

use event_schema::Timestamp;
use event_schema::ids::DeliveryId;
use event_schema::notification::{self as event, Event};

use super::{Rejection, Stage, State, open};

/// The provider is asked as soon as this is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The message.
    pub delivery_id: DeliveryId,
    /// The attempt that the caller believes to be the next, from 1.
    pub attempt: u32,
    /// The provider.
    pub provider: String,
    /// The moment.
    pub now: Timestamp,
}

impl Attempt {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let delivery = open(state, self.delivery_id)?;
        if let Stage::Underway { provider, at } = &delivery.stage {
            let mine = (self.attempt, &self.provider, self.now);
            return if mine == (delivery.attempts, provider, *at) {
                Ok(vec![])
            } else {
                Err(Rejection::Underway)
            };
        }
        if self.attempt != delivery.attempts.saturating_add(1) {
            return Err(Rejection::OtherAttempt);
        }
        if !delivery.intent.providers.contains(&self.provider) {
            return Err(Rejection::OtherProvider);
        }
        if let Some(unclear) = &delivery.unclear
            && unclear.provider != self.provider
        {
            return Err(Rejection::MayBeSent);
        }
        Ok(vec![
            event::Attempted {
                delivery_id: self.delivery_id,
                attempt: self.attempt,
                provider: self.provider,
                at: self.now,
            }
            .into(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use event_schema::notification::{Outcome, Status};
    use event_schema::testing::given;

    use super::*;
    use crate::fixtures::at;
    use crate::notification::Notification;
    use crate::notification::fixtures::{
        FIRST, SECOND, attempt, attempted, ended, intent, settled,
    };

    #[test]
    fn an_attempt_is_recorded_before_the_provider_is_asked() {
        given::<Notification>([intent().into()])
            .when(attempt(1, FIRST, at(1)))
            .then([attempted(1, FIRST, at(1))]);
    }

    #[test]
    fn a_provider_that_is_skipped_leaves_its_turn_to_another_one() {
        given::<Notification>([intent().into()])
            .when(attempt(1, SECOND, at(1)))
            .then([attempted(1, SECOND, at(1))]);
    }

    #[test]
    fn two_who_want_to_ask_are_told_apart_and_one_who_asks_again_is_known() {
        let past = [intent().into(), attempted(1, FIRST, at(1))];
        given::<Notification>(past.clone())
            .when(attempt(1, FIRST, at(2)))
            .then_rejected(Rejection::Underway);
        given::<Notification>(past)
            .when(attempt(1, FIRST, at(1)))
            .then_nothing();
    }

    #[test]
    fn a_sleeper_whose_turn_is_over_asks_nobody() {
        let past = [
            intent().into(),
            attempted(1, FIRST, at(1)),
            ended(1, FIRST, Outcome::Transient, Some((FIRST, at(1001)))),
        ];
        given::<Notification>(past)
            .when(attempt(1, FIRST, at(2)))
            .then_rejected(Rejection::OtherAttempt);
    }

    #[test]
    fn what_one_provider_may_have_sent_no_other_one_sends() {
        let past = [
            intent().into(),
            attempted(1, FIRST, at(1)),
            ended(1, FIRST, Outcome::Unknown, Some((FIRST, at(1001)))),
        ];
        given::<Notification>(past.clone())
            .when(attempt(2, SECOND, at(2)))
            .then_rejected(Rejection::MayBeSent);
        given::<Notification>(past)
            .when(attempt(2, FIRST, at(2)))
            .then([attempted(2, FIRST, at(2))]);
    }

    #[test]
    fn a_provider_that_nobody_named_is_not_asked() {
        given::<Notification>([intent().into()])
            .when(attempt(1, "pigeon", at(1)))
            .then_rejected(Rejection::OtherProvider);
    }

    #[test]
    fn what_is_over_or_was_never_intended_is_not_tried() {
        given::<Notification>([intent().into(), settled(Status::Sent)])
            .when(attempt(1, FIRST, at(1)))
            .then_rejected(Rejection::Settled);
        given::<Notification>([])
            .when(attempt(1, FIRST, at(1)))
            .then_rejected(Rejection::NotIntended);
    }
}
