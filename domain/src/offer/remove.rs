//! A partner does not sell a product any more.

use event_schema::offer::{self as event, Event};

use super::{Rejection, State};

/// The partner does not sell the product any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remove;

impl Remove {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        match state {
            State::NotSet => Ok(vec![]),
            State::Set(offered) => Ok(vec![
                event::Removed {
                    partner_id: offered.partner_id,
                    product_id: offered.product_id,
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
    use crate::fixtures::{eur, mug, partner_id};
    use crate::offer::Offer;

    fn was_set() -> Event {
        event::Set {
            partner_id: partner_id(),
            product_id: mug(),
            price: eur(1999),
            active: true,
        }
        .into()
    }

    fn removed() -> Event {
        event::Removed {
            partner_id: partner_id(),
            product_id: mug(),
        }
        .into()
    }

    #[test]
    fn a_removed_offer_is_no_offer() {
        let state = given::<Offer>([was_set()]).when(Remove).then([removed()]);
        assert_eq!(state.offered(), None);
    }

    #[test]
    fn removing_what_is_not_offered_changes_nothing() {
        given::<Offer>([]).when(Remove).then_nothing();
        given::<Offer>([was_set(), removed()])
            .when(Remove)
            .then_nothing();
    }
}
