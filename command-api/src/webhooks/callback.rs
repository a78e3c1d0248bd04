//! Reads a payment provider's event: what it is about, in our words. Pure; knows Stripe's shapes and nothing else.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use event_schema::payment::CallbackRecorded;
use event_schema::{Currency, Money};

/// What a provider's text is cut to before it is stored.
const MAX_TEXT_CHARS: usize = 200;

/// The types of a payment provider's events that say something about a payment of ours, to be subscribed to there; every
/// other one is answered 2xx and forgotten.
pub const PAYMENT_EVENTS: &[&str] = &[
    "payment_intent.amount_capturable_updated",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.canceled",
    "checkout.session.completed",
    "checkout.session.expired",
    "charge.refunded",
    "charge.refund.updated",
    "refund.updated",
    "refund.failed",
];

/// An event that is acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Callback {
    /// The order as the event names it, if it does.
    pub(crate) order_reference: Option<String>,
    /// What will be recorded.
    pub(crate) recorded: CallbackRecorded,
}

/// Why a signed body cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallbackError {
    /// Not JSON, or not an event.
    #[error("the body is not an event of the payment provider: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// The event's time is outside of what a calendar has.
    #[error("the event's time `created` is out of range")]
    Time,
    /// The event has no usable id.
    #[error("the event's id is empty or longer than {MAX_TEXT_CHARS} characters")]
    Id,
}

#[derive(Deserialize)]
struct Envelope {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    created: i64,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Map<String, Value>,
}

/// `None` for types that are not acted on.
pub(crate) fn read(provider: &str, body: &[u8]) -> Result<Option<Callback>, CallbackError> {
    let Envelope {
        id,
        kind,
        created,
        data: Data { object },
    } = serde_json::from_slice(body)?;
    if !PAYMENT_EVENTS.contains(&kind.as_str()) {
        return Ok(None);
    }
    if id.is_empty() || id.chars().count() > MAX_TEXT_CHARS {
        return Err(CallbackError::Id);
    }
    let created_at = Timestamp::from_second(created).map_err(|_| CallbackError::Time)?;
    let about = About::of(&kind);
    let own_id = text(object.get("id"));
    let payment = reference(object.get("payment_intent"));
    let (provider_payment_id, session_id) = match about {
        About::Payment => (own_id, None),
        About::Session => (payment, own_id),
        About::Charge => (payment, None),
    };
    let metadata = object.get("metadata").and_then(Value::as_object);
    let order_reference = metadata
        .and_then(|fields| text(fields.get("order_id")))
        .or_else(|| text(object.get("client_reference_id")));
    let amount = amount(&object, &kind);
    let status = text(object.get("status"));
    Ok(Some(Callback {
        order_reference,
        recorded: CallbackRecorded {
            provider: provider.to_owned(),
            provider_event_id: id,
            kind,
            provider_payment_id,
            session_id,
            amount,
            status,
            created_at,
        },
    }))
}

#[derive(Clone, Copy)]
enum About {
    Payment,
    Session,
    Charge,
}

impl About {
    fn of(kind: &str) -> Self {
        match kind.split('.').next() {
            Some("checkout") => Self::Session,
            Some("charge" | "refund") => Self::Charge,
            _ => Self::Payment,
        }
    }
}

/// The amount that the event's type is about: what can be taken, what was taken, what was given back.
fn amount(object: &Map<String, Value>, kind: &str) -> Option<Money> {
    let field = match kind {
        "payment_intent.amount_capturable_updated" => "amount_capturable",
        "payment_intent.succeeded" => "amount_received",
        "charge.refunded" => "amount_refunded",
        _ if kind.starts_with("checkout.") => "amount_total",
        _ => "amount",
    };
    let amount = object.get(field).and_then(Value::as_i64)?;
    let currency: Currency = object
        .get("currency")?
        .as_str()?
        .to_ascii_uppercase()
        .parse()
        .ok()?;
    Some(Money::new(amount, currency))
}

/// Another object: by its id, or whole when the event was expanded.
fn reference(value: Option<&Value>) -> Option<String> {
    match value {
        Some(Value::Object(expanded)) => text(expanded.get("id")),
        other => text(other),
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    let text = value?.as_str()?.trim();
    (!text.is_empty()).then(|| text.chars().take(MAX_TEXT_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_one(kind: &str, object: Value) -> Option<Callback> {
        let body = json!({"id": "evt_1", "type": kind, "created": 1_800_000_000, "data": {"object": object}});
        read("stripe", body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn an_authorised_payment_names_its_order_its_id_and_what_can_be_taken() {
        let callback = read_one(
            "payment_intent.amount_capturable_updated",
            json!({"id": "pi_1", "amount": 1999, "amount_capturable": 1500, "currency": "eur", "status": "requires_capture",
                   "metadata": {"order_id": "o-1", "effect_id": "e-1"}}),
        )
        .unwrap();
        assert_eq!(callback.order_reference.as_deref(), Some("o-1"));
        assert_eq!(
            callback.recorded.provider_payment_id.as_deref(),
            Some("pi_1")
        );
        assert_eq!(callback.recorded.session_id, None);
        assert_eq!(
            callback.recorded.amount,
            Some(Money::new(1500, Currency::EUR))
        );
        assert_eq!(
            callback.recorded.status.as_deref(),
            Some("requires_capture")
        );
    }

    #[test]
    fn a_completed_checkout_names_session_and_payment_even_when_the_payment_is_expanded() {
        for payment in [json!("pi_2"), json!({"id": "pi_2"})] {
            let callback = read_one(
                "checkout.session.completed",
                json!({"id": "cs_1", "payment_intent": payment, "amount_total": 700, "currency": "usd",
                       "client_reference_id": "o-2", "status": "complete", "metadata": {}}),
            )
            .unwrap();
            assert_eq!(callback.order_reference.as_deref(), Some("o-2"));
            assert_eq!(callback.recorded.session_id.as_deref(), Some("cs_1"));
            assert_eq!(
                callback.recorded.provider_payment_id.as_deref(),
                Some("pi_2")
            );
            assert_eq!(
                callback.recorded.amount,
                Some(Money::new(700, Currency::USD))
            );
        }
    }

    #[test]
    fn a_refund_is_about_the_charges_payment() {
        let callback = read_one(
            "charge.refunded",
            json!({"id": "ch_1", "payment_intent": "pi_3", "amount": 900, "amount_refunded": 900, "currency": "eur",
                   "metadata": {"order_id": "o-3"}}),
        )
        .unwrap();
        assert_eq!(
            callback.recorded.provider_payment_id.as_deref(),
            Some("pi_3")
        );
        assert_eq!(
            callback.recorded.amount,
            Some(Money::new(900, Currency::EUR))
        );
    }

    #[test]
    fn what_became_of_a_refund_names_the_payment_and_the_refunds_sum_and_status() {
        for kind in ["refund.updated", "refund.failed", "charge.refund.updated"] {
            let callback = read_one(
                kind,
                json!({"id": "re_1", "object": "refund", "payment_intent": "pi_3", "charge": "ch_1", "amount": 900,
                       "currency": "eur", "status": "failed", "failure_reason": "expired_or_canceled_card",
                       "metadata": {"order_id": "o-3", "effect_id": "e-3"}}),
            )
            .unwrap();
            assert_eq!(callback.order_reference.as_deref(), Some("o-3"));
            let recorded = callback.recorded;
            assert_eq!(recorded.provider_payment_id.as_deref(), Some("pi_3"));
            assert_eq!(recorded.amount, Some(Money::new(900, Currency::EUR)));
            assert_eq!(recorded.status.as_deref(), Some("failed"));
        }
    }

    #[test]
    fn types_that_say_nothing_about_a_payment_are_passed_over() {
        assert_eq!(read_one("customer.created", json!({"id": "cus_1"})), None);
    }

    #[test]
    fn nonsense_is_an_error_and_missing_details_are_not() {
        for bad in [
            &b"no json"[..],
            b"{}",
            br#"{"id":"evt","type":"charge.refunded","created":9223372036854775807,"data":{"object":{}}}"#,
            br#"{"id":"","type":"charge.refunded","created":1,"data":{"object":{}}}"#,
        ] {
            assert!(read("stripe", bad).is_err());
        }
        let bare = read_one("payment_intent.canceled", json!({})).unwrap();
        assert_eq!(
            (
                bare.order_reference,
                bare.recorded.provider_payment_id,
                bare.recorded.amount
            ),
            (None, None, None)
        );
    }
}
