//! A partner names a price, or another one, or pauses the offer.

use event_schema::Money;
use event_schema::ids::{PartnerId, ProductId};
use event_schema::offer::{self as event, Event};

use super::{Offered, Rejection, State};

/// The partner sells the product at a price.
#[derive(Debug, Clone, PartialEq)]
pub struct Set {
    /// Who sells.
    pub partner_id: PartnerId,
    /// What.
    pub product_id: ProductId,
    /// For how much.
    pub price: Money,
    /// Whether it can be bought now.
    pub active: bool,
}

impl Set {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self {
            partner_id,
            product_id,
            price,
            active,
        } = self;
        if price.amount < 1 {
            return Err(Rejection::PriceTooLow);
        }
        if state.offered()
            == Some(&Offered {
                partner_id,
                product_id,
                price,
                active,
            })
        {
            return Ok(vec![]);
        }
        Ok(vec![
            event::Set {
                partner_id,
                product_id,
                price,
                active,
            }
            .into(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::fixtures::{eur, mug, partner_id};
    use crate::offer::Offer;

    fn set(price: i64) -> Set {
        Set {
            partner_id: partner_id(),
            product_id: mug(),
            price: eur(price),
            active: true,
        }
    }

    fn was_set(price: i64) -> Event {
        event::Set {
            partner_id: partner_id(),
            product_id: mug(),
            price: eur(price),
            active: true,
        }
        .into()
    }

    #[test]
    fn a_price_is_set_and_set_anew() {
        given::<Offer>([]).when(set(1999)).then([was_set(1999)]);
        let state = given::<Offer>([was_set(1999)])
            .when(set(1))
            .then([was_set(1)]);
        assert_eq!(state.offered().unwrap().price, eur(1));
    }

    #[test]
    fn the_same_offer_again_changes_nothing() {
        given::<Offer>([was_set(1999)])
            .when(set(1999))
            .then_nothing();
    }

    #[test]
    fn an_offer_can_be_set_again_after_it_was_removed() {
        let removed = event::Removed {
            partner_id: partner_id(),
            product_id: mug(),
        }
        .into();
        given::<Offer>([was_set(1999), removed])
            .when(set(1999))
            .then([was_set(1999)]);
    }

    #[test]
    fn nothing_is_given_away() {
        given::<Offer>([])
            .when(set(0))
            .then_rejected(Rejection::PriceTooLow);
        given::<Offer>([was_set(1999)])
            .when(set(-1))
            .then_rejected(Rejection::PriceTooLow);
    }
}
