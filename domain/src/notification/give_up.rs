//! Nothing is done about a message any more, without anybody being asked: there is no address, no provider, no time.

use event_schema::ids::DeliveryId;
use event_schema::notification::{self as event, Event, Status};

use super::{Rejection, Stage, State, open};

/// It is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GiveUp {
    /// The message.
    pub delivery_id: DeliveryId,
    /// How it ended; one that may have been sent ends as unknown, whatever is said here.
    pub status: Status,
    /// Why, as a short code without personal data.
    pub cause: String,
}

impl GiveUp {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let delivery = open(state, self.delivery_id)?;
        if matches!(delivery.stage, Stage::Underway { .. }) {
            return Err(Rejection::Underway);
        }
        let status = match delivery.unclear {
            Some(_) => Status::Unknown,
            None => self.status,
        };
        Ok(vec![
            event::Settled {
                delivery_id: self.delivery_id,
                status,
                cause: Some(self.cause),
            }
            .into(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use event_schema::notification::Outcome;
    use event_schema::testing::given;

    use super::*;
    use crate::fixtures::at;
    use crate::notification::Notification;
    use crate::notification::fixtures::{FIRST, attempted, ended, id, intent, settled};

    fn give_up() -> GiveUp {
        GiveUp {
            delivery_id: id(),
            status: Status::Rejected,
            cause: "code".into(),
        }
    }

    #[test]
    fn a_message_without_an_address_is_over() {
        given::<Notification>([intent().into()])
            .when(give_up())
            .then([settled(Status::Rejected)]);
    }

    #[test]
    fn what_may_have_been_sent_ends_as_unknown() {
        let past = [
            intent().into(),
            attempted(1, FIRST, at(1)),
            ended(1, FIRST, Outcome::Unknown, Some((FIRST, at(1001)))),
        ];
        given::<Notification>(past)
            .when(give_up())
            .then([settled(Status::Unknown)]);
    }

    #[test]
    fn nobody_gives_up_while_a_provider_is_asked_or_after_the_end() {
        given::<Notification>([intent().into(), attempted(1, FIRST, at(1))])
            .when(give_up())
            .then_rejected(Rejection::Underway);
        given::<Notification>([intent().into(), settled(Status::Sent)])
            .when(give_up())
            .then_rejected(Rejection::Settled);
        given::<Notification>([])
            .when(give_up())
            .then_rejected(Rejection::NotIntended);
    }
}
