//! A product is added once.

use event_schema::ids::PartnerId;
use event_schema::product::{self as event, Details, Event};

use super::{Identity, Rejection, State, check};

/// A product exists from now on.
#[derive(Debug, Clone, PartialEq)]
pub struct Add {
    /// The seller's own name for it.
    pub sku: String,
    /// Keyed hash of the normalised SKU: the key of the uniqueness record.
    pub sku_key: String,
    /// The partner who adds it; none when an admin does.
    pub partner_id: Option<PartnerId>,
    /// What it is.
    pub details: Details,
}

impl Add {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        if self.sku.trim().is_empty() {
            return Err(Rejection::SkuMissing);
        }
        check(&self.details)?;
        let Self {
            sku,
            sku_key,
            partner_id,
            details,
        } = self;
        match state {
            State::NotAdded => Ok(vec![
                event::Added {
                    sku,
                    sku_key,
                    partner_id,
                    details,
                }
                .into(),
            ]),
            State::Added {
                identity,
                details: known,
            } if *identity
                == Identity {
                    sku,
                    sku_key,
                    partner_id,
                }
                && *known == details =>
            {
                Ok(vec![])
            }
            State::Added { .. } => Err(Rejection::AlreadyAdded),
            State::Removed { .. } => Err(Rejection::Removed),
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::fixtures::eur;
    use crate::product::Product;
    use crate::product::fixtures::{added, details, removed};

    fn add() -> Add {
        Add {
            sku: "MUG-1".into(),
            sku_key: "5c0".into(),
            partner_id: None,
            details: details(),
        }
    }

    #[test]
    fn a_product_is_added_and_can_be_looked_at() {
        let state = given::<Product>([]).when(add()).then([added()]);
        assert_eq!(state.current().unwrap().1, &details());
    }

    #[test]
    fn adding_the_same_product_again_changes_nothing() {
        given::<Product>([added()]).when(add()).then_nothing();
    }

    #[test]
    fn another_product_cannot_take_the_id() {
        given::<Product>([added()])
            .when(Add {
                sku: "MUG-2".into(),
                ..add()
            })
            .then_rejected(Rejection::AlreadyAdded);
    }

    #[test]
    fn a_removed_product_does_not_come_back_under_its_id() {
        given::<Product>([added(), removed()])
            .when(add())
            .then_rejected(Rejection::Removed);
    }

    #[test]
    fn a_product_without_sku_or_name_or_with_a_negative_cost_is_refused() {
        given::<Product>([])
            .when(Add {
                sku: " ".into(),
                ..add()
            })
            .then_rejected(Rejection::SkuMissing);
        let nameless = Details {
            name: String::new(),
            ..details()
        };
        given::<Product>([])
            .when(Add {
                details: nameless,
                ..add()
            })
            .then_rejected(Rejection::NameMissing);
        let paying = Details {
            unit_cost: eur(-1),
            ..details()
        };
        given::<Product>([])
            .when(Add {
                details: paying,
                ..add()
            })
            .then_rejected(Rejection::NegativeUnitCost);
    }
}
