//! What decisions about an inbox remember: a bounded part of what was read and taken out.

use std::collections::VecDeque;

use event_schema::Position;
use event_schema::ids::NotificationId;
use event_schema::inbox::Event;
use serde::{Deserialize, Serialize};

/// So many notifications that were read or taken out one by one are remembered, the latest. For one that is forgotten a
/// repeat is one more event that says what is true already.
pub const REMEMBERED_MAX: usize = 500;

/// An inbox so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Everything up to here was taken out; nothing below it needs to be remembered.
    cleared_through: Position,
    /// What was done to single notifications after that, the latest at the end.
    marks: VecDeque<Mark>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    notification_id: NotificationId,
    at: Position,
    cleared: bool,
}

impl State {
    /// Where in the log the event is that a notification tells of, if it is one of those that are remembered.
    pub fn place_of(&self, notification: NotificationId) -> Option<Position> {
        self.mark(notification).map(|mark| mark.at)
    }

    /// Up to where everything was taken out.
    pub fn cleared_through(&self) -> Position {
        self.cleared_through
    }

    /// Whether this was read and is still there.
    pub(super) fn is_read(&self, notification: NotificationId) -> bool {
        self.mark(notification).is_some_and(|mark| !mark.cleared)
    }

    /// Whether this was taken out, by itself or with everything else.
    pub(super) fn is_cleared(&self, notification: NotificationId, at: Position) -> bool {
        at <= self.cleared_through || self.mark(notification).is_some_and(|mark| mark.cleared)
    }

    fn mark(&self, notification: NotificationId) -> Option<&Mark> {
        self.marks
            .iter()
            .rfind(|mark| mark.notification_id == notification)
    }

    pub(super) fn evolved(mut self, event: &Event) -> Self {
        match event {
            Event::Read(e) => self.remember(e.notification_id, e.at, false),
            Event::Cleared(e) => self.remember(e.notification_id, e.at, true),
            Event::AllCleared(e) => {
                self.cleared_through = self.cleared_through.max(e.through);
                let through = self.cleared_through;
                self.marks.retain(|mark| mark.at > through);
            }
        }
        self
    }

    fn remember(&mut self, notification_id: NotificationId, at: Position, cleared: bool) {
        self.marks
            .retain(|mark| mark.notification_id != notification_id);
        self.marks.push_back(Mark {
            notification_id,
            at,
            cleared,
        });
        while self.marks.len() > REMEMBERED_MAX {
            self.marks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schema::inbox as event;
    use event_schema::testing::given;

    use super::*;
    use crate::inbox::Inbox;
    use crate::inbox::fixtures::it;

    fn read(n: u64) -> Event {
        event::Read {
            notification_id: it(n.into()),
            at: Position(n),
        }
        .into()
    }

    #[test]
    fn an_inbox_of_any_age_remembers_no_more_than_so_much() {
        let count = u64::try_from(REMEMBERED_MAX).unwrap() + 10;
        let state = given::<Inbox>((1..=count).map(read)).then_state();
        assert_eq!(state.marks.len(), REMEMBERED_MAX);
        assert_eq!(state.place_of(it(10)), None);
        assert_eq!(state.place_of(it(11)), Some(Position(11)));
    }

    #[test]
    fn what_lies_below_everything_that_was_cleared_is_forgotten() {
        let all = event::AllCleared {
            through: Position(3),
        };
        let events = (1..=5).map(read).chain([all.into()]);
        let state = given::<Inbox>(events).then_state();
        assert_eq!(state.marks.len(), 2);
        assert!(state.is_cleared(it(3), Position(3)));
        assert!(!state.is_cleared(it(4), Position(4)));
    }
}
