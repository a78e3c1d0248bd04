//! A resource leaves the catalogue; who has it keeps it.

use event_schema::resource::{self as event, Event};

use super::{Rejection, State};

/// It is not in the catalogue any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remove;

impl Remove {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        match state {
            State::NotAdded => Err(Rejection::NotAdded),
            State::Removed(_) => Ok(vec![]),
            State::Added(_) => Ok(vec![event::Removed {}.into()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::resource::Resource;
    use crate::resource::fixtures::{added, removed};

    #[test]
    fn a_removed_resource_is_gone_from_the_catalogue() {
        let state = given::<Resource>([added()]).when(Remove).then([removed()]);
        assert_eq!(state.current(), None);
    }

    #[test]
    fn removing_it_again_changes_nothing() {
        given::<Resource>([added(), removed()])
            .when(Remove)
            .then_nothing();
    }

    #[test]
    fn nothing_unknown_is_removed() {
        given::<Resource>([])
            .when(Remove)
            .then_rejected(Rejection::NotAdded);
    }
}
