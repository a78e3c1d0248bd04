//! What a partner's system is told.

use event_schema::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

/// A product and how many of it are to be prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrepareLine {
    /// Which product.
    pub product_id: Uuid,
    /// Its SKU, as it was when it was ordered.
    pub sku: String,
    /// Its name, as it was when it was ordered.
    pub name: String,
    /// How many.
    pub quantity: u32,
}

/// `order.prepare`: what to prepare and where it goes. Address and phone are null when the customer was erased meanwhile.
/// The same facts give the same bytes, whenever they are written.
#[must_use]
pub fn order_prepare(
    intended_at: Timestamp,
    order_id: Uuid,
    lines: &[PrepareLine],
    delivery_address: Option<&str>,
    phone: Option<&str>,
) -> Value {
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| {
            json!({
                "product_id": line.product_id, "sku": line.sku, "name": line.name, "quantity": line.quantity,
            })
        })
        .collect();
    json!({
        "type": "order.prepare",
        "timestamp": intended_at,
        "data": {
            "order_id": order_id, "lines": lines, "delivery_address": delivery_address, "phone": phone,
        },
    })
}
