//! The account is closed; what it did stays, and its address stays taken.

use event_schema::customer::{self as event, Event};

use super::{Rejection, State};

/// The account is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deactivate;

impl Deactivate {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        match state {
            State::NotAdded => Err(Rejection::NotAdded),
            State::Deactivated(_) | State::Erased => Ok(vec![]),
            State::Added(_) => Ok(vec![event::Deactivated {}.into()]),
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
    fn a_closed_account_is_not_active_and_still_known() {
        let state = given::<Customer>([added()])
            .when(Deactivate)
            .then([deactivated()]);
        assert_eq!(state.active(), None);
        assert!(state.details().is_some());
    }

    #[test]
    fn closing_again_changes_nothing() {
        given::<Customer>([added(), deactivated()])
            .when(Deactivate)
            .then_nothing();
        given::<Customer>([added(), erased()])
            .when(Deactivate)
            .then_nothing();
    }

    #[test]
    fn nobody_unknown_is_closed() {
        given::<Customer>([])
            .when(Deactivate)
            .then_rejected(Rejection::NotAdded);
    }
}
