//! A resource is described anew.

use event_schema::resource::{self as event, Details, Event};

use super::{Rejection, State, named};

/// It is this from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it is.
    pub details: Details,
}

impl Change {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let details = named(self.details)?;
        match state {
            State::NotAdded | State::Removed(_) => Err(Rejection::NotAdded),
            State::Added(known) if *known == details => Ok(vec![]),
            State::Added(_) => Ok(vec![event::Changed { details }.into()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::resource::Resource;
    use crate::resource::fixtures::{added, machine, moved, removed};

    fn change(details: Details) -> Change {
        Change { details }
    }

    #[test]
    fn a_resource_moves() {
        let state = given::<Resource>([added()])
            .when(change(moved()))
            .then([event::Changed { details: moved() }.into()]);
        assert_eq!(state.current(), Some(&moved()));
    }

    #[test]
    fn the_same_description_changes_nothing() {
        given::<Resource>([added()])
            .when(change(machine()))
            .then_nothing();
    }

    #[test]
    fn what_is_not_in_the_catalogue_is_not_described() {
        given::<Resource>([])
            .when(change(machine()))
            .then_rejected(Rejection::NotAdded);
        given::<Resource>([added(), removed()])
            .when(change(moved()))
            .then_rejected(Rejection::NotAdded);
    }
}
