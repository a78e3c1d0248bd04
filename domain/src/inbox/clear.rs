//! Somebody takes a notification out of his inbox, read or not.

use event_schema::Position;
use event_schema::ids::NotificationId;
use event_schema::inbox::{self as event, Event};

use super::State;

/// A notification is taken out. Whoever asks has made sure that it is the person's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clear {
    /// Which.
    pub notification_id: NotificationId,
    /// Where in the log the event is that it tells of.
    pub at: Position,
}

impl Clear {
    pub(super) fn decide(self, state: &State) -> Vec<Event> {
        let Self {
            notification_id,
            at,
        } = self;
        if state.is_cleared(notification_id, at) {
            return vec![];
        }
        vec![
            event::Cleared {
                notification_id,
                at,
            }
            .into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::inbox::Inbox;
    use crate::inbox::fixtures::{all_were_cleared, it, was_cleared, was_read};

    fn clear() -> Clear {
        Clear {
            notification_id: it(1),
            at: Position(7),
        }
    }

    #[test]
    fn a_notification_is_taken_out_read_or_not() {
        for before in [vec![], vec![was_read(1, 7)], vec![all_were_cleared(6)]] {
            given::<Inbox>(before)
                .when(clear())
                .then([was_cleared(1, 7)]);
        }
    }

    #[test]
    fn taking_it_out_again_is_already_true() {
        for before in [vec![was_cleared(1, 7)], vec![all_were_cleared(7)]] {
            given::<Inbox>(before).when(clear()).then_nothing();
        }
    }
}
