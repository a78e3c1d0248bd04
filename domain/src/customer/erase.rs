//! The person's data is to be unreadable. The event comes first, then the key is destroyed: whoever finds the event and
//! a key that still opens finishes the work.

use event_schema::customer::{self as event, Event};

use super::{Rejection, State};

/// The person's data is to be unreadable. The address's uniqueness record is released in the same group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erase;

impl Erase {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        match state {
            State::NotAdded => Err(Rejection::NotAdded),
            State::Erased => Ok(vec![]),
            State::Added(_) | State::Deactivated(_) => Ok(vec![event::Erased {}.into()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::customer::Customer;
    use crate::customer::fixtures::{added, deactivated, erased};

    #[test]
    fn an_open_account_and_a_closed_one_are_erased() {
        let state = given::<Customer>([added()]).when(Erase).then([erased()]);
        assert_eq!(state, State::Erased);
        given::<Customer>([added(), deactivated()])
            .when(Erase)
            .then([erased()]);
    }

    #[test]
    fn erasing_again_changes_nothing() {
        given::<Customer>([added(), erased()])
            .when(Erase)
            .then_nothing();
    }

    #[test]
    fn nobody_unknown_is_erased() {
        given::<Customer>([])
            .when(Erase)
            .then_rejected(Rejection::NotAdded);
    }
}
