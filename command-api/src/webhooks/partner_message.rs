//! Reads what a partner tells us: `{type: "order.ready", data: {order_id, pickup_address}}`. Pure.

use serde_json::{Map, Value};
use uuid::Uuid;

/// The one type that is acted on; every other one is answered 2xx and forgotten.
const ORDER_READY: &str = "order.ready";

/// An order is prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrderReady {
    pub(crate) order_id: Uuid,
    /// As sent: not looked at yet.
    pub(crate) pickup_address: String,
}

/// Why a signed body cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PartnerMessageError {
    /// Not a JSON object.
    #[error("the body is not a JSON object: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// It does not say what it is about.
    #[error("the member `type` is missing, or no text")]
    Untyped,
    /// It is about an order, and does not say all of it.
    #[error("an `order.ready` has `data.{0}`, {1}")]
    Incomplete(&'static str, &'static str),
}

/// `None` for types that are not acted on.
pub(crate) fn read(body: &[u8]) -> Result<Option<OrderReady>, PartnerMessageError> {
    let message: Map<String, Value> = serde_json::from_slice(body)?;
    let kind = message
        .get("type")
        .and_then(Value::as_str)
        .ok_or(PartnerMessageError::Untyped)?;
    if kind != ORDER_READY {
        return Ok(None);
    }
    let text = |name: &str| message.get("data")?.get(name)?.as_str();
    let order_id = text("order_id")
        .and_then(|text| Uuid::parse_str(text).ok())
        .ok_or(PartnerMessageError::Incomplete(
            "order_id",
            "the id of an order",
        ))?;
    let pickup_address = text("pickup_address")
        .ok_or(PartnerMessageError::Incomplete("pickup_address", "a text"))?
        .to_owned();
    Ok(Some(OrderReady {
        order_id,
        pickup_address,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(message: &Value) -> Result<Option<OrderReady>, PartnerMessageError> {
        read(message.to_string().as_bytes())
    }

    #[test]
    fn a_prepared_order_is_named_with_its_pickup_address_whatever_else_is_said() {
        let order_id = Uuid::from_u128(7);
        let message = json!({"type": "order.ready", "timestamp": "2026-11-21T00:00:00Z",
            "data": {"order_id": order_id, "pickup_address": "1 Road", "boxes": 3}});
        let pickup_address = "1 Road".to_owned();
        assert_eq!(
            said(&message).unwrap(),
            Some(OrderReady {
                order_id,
                pickup_address
            })
        );
    }

    #[test]
    fn other_types_are_passed_over_whatever_their_data() {
        assert_eq!(said(&json!({"type": "order.late"})).unwrap(), None);
        assert_eq!(said(&json!({"type": "ping", "data": []})).unwrap(), None);
    }

    #[test]
    fn what_is_no_message_or_does_not_say_all_is_an_error() {
        assert!(read(b"no json").is_err());
        for bad in [
            json!([]),
            json!(["order.ready", {}]),
            json!({}),
            json!({"type": 1}),
            json!({"type": "order.ready"}),
            json!({"type": "order.ready", "data": {"order_id": "o-1", "pickup_address": "x"}}),
            json!({"type": "order.ready", "data": {"order_id": Uuid::from_u128(7)}}),
            json!({"type": "order.ready", "data": {"order_id": Uuid::from_u128(7), "pickup_address": 1}}),
        ] {
            assert!(said(&bad).is_err(), "{bad}");
        }
    }
}
