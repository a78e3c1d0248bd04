//! A resource is added once.

use event_schema::resource::{self as event, Details, Event};

use super::{Rejection, State, named};

/// A resource exists from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// What it is.
    pub details: Details,
}

impl Add {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let details = named(self.details)?;
        match state {
            State::NotAdded => Ok(vec![event::Added { details }.into()]),
            State::Added(known) if *known == details => Ok(vec![]),
            State::Added(_) | State::Removed(_) => Err(Rejection::AlreadyAdded),
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::resource::Resource;
    use crate::resource::fixtures::{added, machine, moved, removed};

    fn add(details: Details) -> Add {
        Add { details }
    }

    #[test]
    fn a_resource_is_added_once() {
        let state = given::<Resource>([]).when(add(machine())).then([added()]);
        assert_eq!(state.current(), Some(&machine()));
        given::<Resource>([added()])
            .when(add(machine()))
            .then_nothing();
    }

    #[test]
    fn another_resource_cannot_take_the_id_not_even_of_one_removed() {
        given::<Resource>([added()])
            .when(add(moved()))
            .then_rejected(Rejection::AlreadyAdded);
        given::<Resource>([added(), removed()])
            .when(add(machine()))
            .then_rejected(Rejection::AlreadyAdded);
    }

    #[test]
    fn a_resource_without_a_region_is_refused() {
        let nowhere = Details {
            region: " ".into(),
            ..machine()
        };
        given::<Resource>([])
            .when(add(nowhere))
            .then_rejected(Rejection::Nameless);
    }
}
