//! Somebody has read a notification.

use event_schema::Position;
use event_schema::ids::NotificationId;
use event_schema::inbox::{self as event, Event};

use super::{Rejection, State};

/// A notification was read. Whoever asks has made sure that it is the person's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Which.
    pub notification_id: NotificationId,
    /// Where in the log the event is that it tells of.
    pub at: Position,
}

impl Read {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self {
            notification_id,
            at,
        } = self;
        if state.is_cleared(notification_id, at) {
            return Err(Rejection::Cleared);
        }
        if state.is_read(notification_id) {
            return Ok(vec![]);
        }
        Ok(vec![
            event::Read {
                notification_id,
                at,
            }
            .into(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::inbox::Inbox;
    use crate::inbox::fixtures::{all_were_cleared, it, was_cleared, was_read};

    #[test]
    fn a_notification_is_read() {
        given::<Inbox>([])
            .when(Read {
                notification_id: it(1),
                at: Position(7),
            })
            .then([was_read(1, 7)]);
    }

    #[test]
    fn reading_it_again_is_already_true() {
        given::<Inbox>([was_read(1, 7), was_read(2, 8)])
            .when(Read {
                notification_id: it(1),
                at: Position(7),
            })
            .then_nothing();
    }

    #[test]
    fn what_was_taken_out_cannot_be_read_any_more() {
        for before in [
            vec![was_cleared(1, 7)],
            vec![was_read(1, 7), was_cleared(1, 7)],
            vec![was_read(1, 7), all_were_cleared(7)],
        ] {
            given::<Inbox>(before)
                .when(Read {
                    notification_id: it(1),
                    at: Position(7),
                })
                .then_rejected(Rejection::Cleared);
        }
    }
}
