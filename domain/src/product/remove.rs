//! A product is not sold any more; its past orders stay.

use event_schema::product::{self as event, Event};

use super::{Rejection, State};

/// The product is not sold any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remove;

impl Remove {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        match state {
            State::NotAdded => Err(Rejection::NotAdded),
            State::Removed { .. } => Ok(vec![]),
            State::Added { .. } => Ok(vec![event::Removed {}.into()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::product::Product;
    use crate::product::fixtures::{added, removed};

    #[test]
    fn a_removed_product_is_gone_from_the_catalogue() {
        let state = given::<Product>([added()]).when(Remove).then([removed()]);
        assert_eq!(state.current(), None);
    }

    #[test]
    fn removing_it_again_changes_nothing() {
        given::<Product>([added(), removed()])
            .when(Remove)
            .then_nothing();
    }

    #[test]
    fn what_never_existed_cannot_be_removed() {
        given::<Product>([])
            .when(Remove)
            .then_rejected(Rejection::NotAdded);
    }
}
