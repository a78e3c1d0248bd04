//! What can happen to an offer: one partner's price for one product.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event_set::event_set;
use crate::ids::{PartnerId, ProductId, derived};
use crate::money::Money;

/// The id of the offer of a product by a partner: a pair has one offer.
pub fn id(partner: PartnerId, product: ProductId) -> Uuid {
    derived(&["offer", &partner.to_string(), &product.to_string()])
}

/// The partner sells the product at a price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// The partner does not sell the product any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Who sold.
    pub partner_id: PartnerId,
    /// What.
    pub product_id: ProductId,
}

event_set! {
    /// An offer's events.
    pub enum Event of "offer" {
        /// The partner sells the product at a price.
        "offer.set" 1 => Set(Set),
        /// The partner does not sell the product any more.
        "offer.removed" 1 => Removed(Removed),
    }
    upcasts []
}
