//! What a message may speak of. Plain values, opened; never stored and never logged.

use event_schema::Money;
use event_schema::order::CancelReason;
use uuid::Uuid;

/// Everything that is known at the moment of writing; what a kind does not speak of is empty.
#[derive(Clone, Default)]
pub struct Facts {
    /// The recipient's name.
    pub recipient_name: Option<String>,
    /// The customer's name, when somebody else is told of his order.
    pub customer_name: Option<String>,
    /// The order.
    pub order_id: Option<Uuid>,
    /// What was ordered.
    pub lines: Vec<Line>,
    /// What the order costs.
    pub total: Option<Money>,
    /// What goes back or went back.
    pub refund: Option<Money>,
    /// Why the order was called off.
    pub reason: Option<CancelReason>,
    /// More of why, for people: what was sold out, why a person is needed.
    pub detail: Option<String>,
    /// Why a saga needs a person, as its stable word.
    pub cause: Option<String>,
    /// Where the order goes.
    pub delivery_address: Option<String>,
    /// Whom to call about the order.
    pub phone: Option<String>,
    /// Where the order is picked up.
    pub pickup_address: Option<String>,
    /// The partner.
    pub partner_title: Option<String>,
    /// The product.
    pub product_name: Option<String>,
    /// The product's id.
    pub product_id: Option<Uuid>,
    /// How many units can be sold.
    pub available: Option<u64>,
    /// At or below how many units a stock is low.
    pub threshold: Option<u32>,
    /// The cloud resource.
    pub resource_name: Option<String>,
    /// The address under which the world reaches the shop, without a slash at the end.
    pub public_url: String,
}

/// One line of an order.
#[derive(Clone)]
pub struct Line {
    /// Which product.
    pub product_id: Uuid,
    /// The seller's name for it.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// What one costs.
    pub unit_price: Money,
    /// What all of them cost.
    pub total: Money,
}
