//! What can happen to an order. Prices, names and costs are facts of the moment of placing, never looked up again.

use serde::{Deserialize, Serialize};

use crate::event_set::event_set;
use crate::ids::{CustomerId, DelivererId, PartnerId, ProductId, QuoteId};
use crate::money::Money;
use crate::sealed::Sealed;

/// One product in an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What.
    pub product_id: ProductId,
    /// The product's SKU when it was ordered.
    pub sku: String,
    /// The product's name when it was ordered.
    pub name: String,
    /// The product's brand when it was ordered.
    pub brand: String,
    /// The product's category when it was ordered.
    pub category: String,
    /// How many.
    pub quantity: u32,
    /// Price of one unit.
    pub unit_price: Money,
    /// What one unit cost the seller.
    pub unit_cost: Money,
    /// Price of all units.
    pub total: Money,
}

/// How the customer pays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum PaymentMethod {
    /// A card, by the provider's token for it. A token is no secret: without the shop's key nobody can charge it.
    Card {
        /// The provider's name for the card.
        token: String,
    },
    /// The provider's hosted page.
    Checkout,
}

/// An order was placed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    /// The quote whose prices it has.
    pub quote_id: QuoteId,
    /// Who buys.
    pub customer_id: CustomerId,
    /// Who sells.
    pub partner_id: PartnerId,
    /// What; each product once.
    pub lines: Vec<Line>,
    /// What all lines cost.
    pub total: Money,
    /// Where it goes.
    pub delivery_address: Sealed<String>,
    /// Whom to call.
    pub phone: Sealed<String>,
    /// How it is paid.
    pub payment_method: PaymentMethod,
}

/// Paid and in stock: the partner may prepare it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {}

/// Why an order is called off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// The provider refused the money.
    PaymentDeclined,
    /// The customer did not pay in time.
    PaymentExpired,
    /// A line could not be held.
    OutOfStock,
    /// The customer changed his mind.
    CustomerCancelled,
    /// An operator called it off.
    OperatorAborted,
}

impl CancelReason {
    /// The reason as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PaymentDeclined => "payment_declined",
            Self::PaymentExpired => "payment_expired",
            Self::OutOfStock => "out_of_stock",
            Self::CustomerCancelled => "customer_cancelled",
            Self::OperatorAborted => "operator_aborted",
        }
    }
}

/// The order is called off; what was done is being put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelling {
    /// Why.
    pub reason: CancelReason,
    /// More for people, such as the product that was sold out.
    pub detail: Option<String>,
}

/// The order is called off and everything is put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// Why.
    pub reason: CancelReason,
    /// More for people.
    pub detail: Option<String>,
}

/// The partner has prepared the order; it waits for somebody who brings it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Where it is picked up.
    pub pickup_address: String,
}

/// Somebody took the order and is on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// Who brings it.
    pub deliverer_id: DelivererId,
}

/// The customer has the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {}

event_set! {
    /// An order's events.
    pub enum Event of "order" {
        /// An order was placed.
        "order.placed" 1 => Placed(Placed),
        /// Paid and in stock.
        "order.confirmed" 1 => Confirmed(Confirmed),
        /// Called off, being put back.
        "order.cancelling" 1 => Cancelling(Cancelling),
        /// Called off, all put back.
        "order.cancelled" 1 => Cancelled(Cancelled),
        /// Prepared, waiting to be brought.
        "order.ready" 1 => Ready(Ready),
        /// On its way.
        "order.assigned" 1 => Assigned(Assigned),
        /// The customer has it.
        "order.delivered" 1 => Delivered(Delivered),
    }
    upcasts []
}
