//! Somebody empties his inbox. What comes after the position that he has seen stays: he has not seen it.

use event_schema::Position;
use event_schema::inbox::{self as event, Event};

use super::State;

/// Everything up to a position is taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearAll {
    /// Notifications of events up to here.
    pub through: Position,
}

impl ClearAll {
    pub(super) fn decide(self, state: &State) -> Vec<Event> {
        let Self { through } = self;
        if through <= state.cleared_through() {
            return vec![];
        }
        vec![event::AllCleared { through }.into()]
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::inbox::Inbox;
    use crate::inbox::fixtures::{all_were_cleared, was_read};

    fn clear_all(through: u64) -> ClearAll {
        ClearAll {
            through: Position(through),
        }
    }

    #[test]
    fn everything_up_to_a_position_is_taken_out() {
        given::<Inbox>([was_read(1, 7)])
            .when(clear_all(9))
            .then([all_were_cleared(9)]);
        given::<Inbox>([all_were_cleared(9)])
            .when(clear_all(12))
            .then([all_were_cleared(12)]);
    }

    #[test]
    fn up_to_where_it_was_emptied_it_is_already_true() {
        for through in [0, 8, 9] {
            given::<Inbox>([all_were_cleared(9)])
                .when(clear_all(through))
                .then_nothing();
        }
        given::<Inbox>([]).when(clear_all(0)).then_nothing();
    }
}
