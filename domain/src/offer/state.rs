//! What decisions about an offer remember.

use event_schema::Money;
use event_schema::ids::{PartnerId, ProductId};
use event_schema::offer::Event;
use serde::{Deserialize, Serialize};

/// An offer's life so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// The partner never sold it, or does not any more.
    NotSet,
    /// The partner sells it.
    Set(Offered),
}

/// What is offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// Who sells.
    pub partner_id: PartnerId,
    /// What.
    pub product_id: ProductId,
    /// For how much.
    pub price: Money,
    /// Whether it can be bought now.
    pub active: bool,
}

impl State {
    /// What is offered, if anything.
    pub fn offered(&self) -> Option<&Offered> {
        match self {
            Self::NotSet => None,
            Self::Set(offered) => Some(offered),
        }
    }

    pub(super) fn evolve(self, event: &Event) -> Self {
        match event {
            Event::Set(e) => Self::Set(Offered {
                partner_id: e.partner_id,
                product_id: e.product_id,
                price: e.price,
                active: e.active,
            }),
            Event::Removed(_) => Self::NotSet,
        }
    }
}
