//! A product is described anew, as a whole.

use event_schema::product::{self as event, Details, Event};

use super::{Rejection, State, check};

/// The product is described anew.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What it is from now on.
    pub details: Details,
}

impl Change {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        check(&self.details)?;
        match state {
            State::NotAdded => Err(Rejection::NotAdded),
            State::Removed { .. } => Err(Rejection::Removed),
            State::Added { details, .. } if *details == self.details => Ok(vec![]),
            State::Added { .. } => Ok(vec![
                event::Changed {
                    details: self.details,
                }
                .into(),
            ]),
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::product::Product;
    use crate::product::fixtures::{added, details, removed};

    fn red() -> Details {
        Details {
            color: Some("red".into()),
            ..details()
        }
    }

    #[test]
    fn a_changed_description_counts_from_now_on() {
        let state = given::<Product>([added()])
            .when(Change { details: red() })
            .then([event::Changed { details: red() }.into()]);
        assert_eq!(state.current().unwrap().1, &red());
    }

    #[test]
    fn the_same_description_again_changes_nothing() {
        given::<Product>([added()])
            .when(Change { details: details() })
            .then_nothing();
    }

    #[test]
    fn only_an_existing_product_can_be_described() {
        given::<Product>([])
            .when(Change { details: red() })
            .then_rejected(Rejection::NotAdded);
        given::<Product>([added(), removed()])
            .when(Change { details: red() })
            .then_rejected(Rejection::Removed);
    }

    #[test]
    fn a_name_cannot_be_taken_away() {
        let nameless = Details {
            name: " ".into(),
            ..details()
        };
        given::<Product>([added()])
            .when(Change { details: nameless })
            .then_rejected(Rejection::NameMissing);
    }
}
