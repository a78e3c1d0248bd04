//! Stripe's JSON, only the fields that we read, and how they become the port's types.

use event_schema::Money;
use serde::Deserialize;

use crate::provider::{Call, Payment, PaymentStatus, Refund, RefundStatus, Session, SessionStatus};

/// A field holds something that this adapter does not know: the answer is not usable.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer has an unreadable {field}: {value:?}")]
pub(super) struct Unreadable {
    field: &'static str,
    value: String,
}

fn unreadable(field: &'static str, value: &str) -> Unreadable {
    Unreadable {
        field,
        value: value.chars().take(60).collect(),
    }
}

/// Things that come in lists.
pub(super) trait Listed: serde::de::DeserializeOwned {
    fn id(&self) -> &str;
}

#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    #[serde(default)]
    pub(super) has_more: bool,
}

/// Our reference.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Metadata {
    order_id: Option<String>,
    effect_id: Option<String>,
}

impl Metadata {
    /// Whether it is the thing that this very call has made.
    pub(super) fn names(&self, call: &Call) -> bool {
        self.effect_id.as_deref() == Some(call.effect_id.to_string().as_str())
            && self.order_id.as_deref() == Some(call.order_id.to_string().as_str())
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct WirePayment {
    id: String,
    amount: i64,
    currency: String,
    status: String,
    amount_capturable: Option<i64>,
    amount_received: Option<i64>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) metadata: Metadata,
    #[serde(default)]
    next_action: Option<NextAction>,
    #[serde(default)]
    last_payment_error: Option<WireError>,
    #[serde(default)]
    cancellation_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct NextAction {
    #[serde(default)]
    redirect_to_url: Option<RedirectToUrl>,
}

#[derive(Debug, Deserialize)]
struct RedirectToUrl {
    url: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireSession {
    id: String,
    status: Option<String>,
    url: Option<String>,
    /// An id, or the whole object when a server expands it.
    #[serde(default)]
    payment_intent: Option<Reference>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) metadata: Metadata,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Reference {
    Id(String),
    Object { id: String },
}

#[derive(Debug, Deserialize)]
pub(super) struct WireRefund {
    id: String,
    amount: i64,
    currency: String,
    status: Option<String>,
    #[serde(default)]
    failure_reason: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) metadata: Metadata,
}

impl WireRefund {
    /// Whether it gives exactly this back, or is on its way to.
    pub(super) fn gives_back(&self, sum: Money) -> bool {
        let stands = matches!(self.status.as_deref(), Some("succeeded" | "pending"));
        stands
            && self.amount == sum.amount
            && self.currency.eq_ignore_ascii_case(sum.currency.code())
    }
}

#[derive(Debug, Default, Clone, Deserialize)]
pub(super) struct WireError {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) code: Option<String>,
    pub(super) decline_code: Option<String>,
    pub(super) message: Option<String>,
}

impl WireError {
    /// The error of an answer; an empty one when the body is not Stripe's.
    pub(super) fn read(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Body {
            error: WireError,
        }
        serde_json::from_slice::<Body>(body)
            .map(|body| body.error)
            .unwrap_or_default()
    }
}

impl Listed for WirePayment {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Listed for WireSession {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Listed for WireRefund {
    fn id(&self) -> &str {
        &self.id
    }
}

/// Servers write an absent value as null, or leave it out.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn money(amount: i64, currency: &str) -> Result<Money, Unreadable> {
    let currency = currency
        .to_ascii_uppercase()
        .parse()
        .map_err(|_| unreadable("currency", currency))?;
    Ok(Money::new(amount, currency))
}

impl TryFrom<WirePayment> for Payment {
    type Error = Unreadable;

    fn try_from(wire: WirePayment) -> Result<Self, Unreadable> {
        // A server that leaves a sum out means all of what the status says.
        let all_if = |told: Option<i64>, status: &str| {
            let all = wire.status == status;
            told.unwrap_or(if all { wire.amount } else { 0 })
        };
        let capturable = all_if(wire.amount_capturable, "requires_capture");
        let received = all_if(wire.amount_received, "succeeded");
        let status = match wire.status.as_str() {
            "requires_payment_method" => match wire.last_payment_error {
                Some(error) => PaymentStatus::Declined {
                    code: error
                        .decline_code
                        .or(error.code)
                        .unwrap_or_else(|| "card_declined".into()),
                    message: error.message.unwrap_or_else(|| "the payment failed".into()),
                },
                None => PaymentStatus::New,
            },
            "requires_confirmation" => PaymentStatus::New,
            "requires_action" => PaymentStatus::AwaitsCustomer {
                page: wire
                    .next_action
                    .and_then(|action| action.redirect_to_url)
                    .and_then(|to| to.url),
            },
            "processing" => PaymentStatus::Processing,
            "requires_capture" => PaymentStatus::Authorised,
            "succeeded" => PaymentStatus::Captured,
            "canceled" => PaymentStatus::Cancelled {
                reason: wire.cancellation_reason,
            },
            other => return Err(unreadable("payment status", other)),
        };
        Ok(Self {
            id: wire.id,
            status,
            amount: money(wire.amount, &wire.currency)?,
            capturable,
            received,
        })
    }
}

impl TryFrom<WireSession> for Session {
    type Error = Unreadable;

    fn try_from(wire: WireSession) -> Result<Self, Unreadable> {
        let status = match wire.status.as_deref() {
            Some("open") => SessionStatus::Open,
            Some("complete") => SessionStatus::Complete,
            Some("expired") => SessionStatus::Expired,
            other => return Err(unreadable("session status", other.unwrap_or("none"))),
        };
        let payment_id = wire.payment_intent.map(|reference| match reference {
            Reference::Id(id) | Reference::Object { id } => id,
        });
        Ok(Self {
            id: wire.id,
            status,
            page: wire.url,
            payment_id,
        })
    }
}

impl TryFrom<WireRefund> for Refund {
    type Error = Unreadable;

    fn try_from(wire: WireRefund) -> Result<Self, Unreadable> {
        let reason = wire.failure_reason;
        let status = match wire.status.as_deref() {
            Some("pending" | "requires_action") => RefundStatus::Pending,
            Some("succeeded") => RefundStatus::Succeeded,
            Some(state @ ("failed" | "canceled")) => RefundStatus::Failed {
                reason: reason.unwrap_or_else(|| state.to_owned()),
            },
            other => return Err(unreadable("refund status", other.unwrap_or("none"))),
        };
        Ok(Self {
            id: wire.id,
            status,
            amount: money(wire.amount, &wire.currency)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment(json: &str) -> Result<Payment, Unreadable> {
        serde_json::from_str::<WirePayment>(json)
            .unwrap()
            .try_into()
    }

    #[test]
    fn a_payment_that_awaits_the_customer_names_the_page() {
        let read = payment(
            r#"{"id":"pi_1","amount":500,"currency":"eur","status":"requires_action",
                "next_action":{"type":"redirect_to_url","redirect_to_url":{"url":"https://pay/1"}},"unknown":1}"#,
        )
        .unwrap();
        assert_eq!(
            read.status,
            PaymentStatus::AwaitsCustomer {
                page: Some("https://pay/1".into())
            }
        );
    }

    #[test]
    fn a_sum_that_is_left_out_is_all_of_it_and_one_that_is_told_counts() {
        let read = |status: &str, sums: &str| {
            let json = format!(
                r#"{{"id":"pi_1","amount":500,"currency":"eur","status":"{status}"{sums}}}"#
            );
            let read = payment(&json).unwrap();
            (read.capturable, read.received)
        };
        assert_eq!(read("requires_capture", ""), (500, 0));
        assert_eq!(read("succeeded", r#","amount_capturable":null"#), (0, 500));
        assert_eq!(read("processing", ""), (0, 0));
        let told = r#","amount_capturable":0,"amount_received":499"#;
        assert_eq!(read("succeeded", told), (0, 499));
    }

    #[test]
    fn a_status_that_nobody_told_us_of_is_not_guessed_at() {
        assert!(
            payment(r#"{"id":"pi_1","amount":1,"currency":"eur","status":"dreaming"}"#).is_err()
        );
        assert!(
            payment(r#"{"id":"pi_1","amount":1,"currency":"zzz","status":"succeeded"}"#).is_err()
        );
    }

    #[test]
    fn a_session_names_its_payment_as_an_id_or_as_an_object() {
        for intent in [r#""pi_7""#, r#"{"id":"pi_7","amount":3}"#] {
            let json = format!(
                r#"{{"id":"cs_1","status":"complete","url":null,"payment_intent":{intent}}}"#
            );
            let session: Session = serde_json::from_str::<WireSession>(&json)
                .unwrap()
                .try_into()
                .unwrap();
            assert_eq!(session.payment_id.as_deref(), Some("pi_7"));
        }
    }
}
