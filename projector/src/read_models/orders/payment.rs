//! The payment of an order, folded from its events.

use serde::{Deserialize, Serialize};

use event_schema::ids::EffectId;
use event_schema::order::PaymentMethod;
use event_schema::payment::Event;
use event_schema::{Recorded, Timestamp};

/// How a payment stands, in the words of the API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    #[default]
    None,
    Pending,
    Authorised,
    Captured,
    Voided,
    RefundPending,
    Refunded,
    Unknown,
    Declined,
}

/// As the column `payment` holds it. Amounts are in the order's currency.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Payment {
    /// Events of the payment so far.
    pub version: i64,
    pub status: Status,
    pub provider: Option<String>,
    pub method: Option<String>,
    pub provider_payment_id: Option<String>,
    pub session_id: Option<String>,
    pub checkout_url: Option<String>,
    pub action_until: Option<Timestamp>,
    pub authorised: i64,
    pub captured: i64,
    pub refunded: i64,
    pub refusal: Option<Refusal>,
    pub attempts: Vec<Attempt>,
    pub refunds: Vec<Refund>,
}

/// The provider's last "no".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub code: String,
    pub message: String,
}

/// One call to the provider under one effect id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    pub step: String,
    pub effect_id: EffectId,
    /// pending, ok, refused or unknown.
    pub outcome: String,
    pub detail: Option<String>,
    pub requested_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

/// Money that went back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refund {
    pub refund_id: String,
    pub amount: i64,
    pub refunded_at: Timestamp,
}

impl Payment {
    pub fn fold(&mut self, event: Event, recorded: &Recorded) {
        let at = recorded.metadata.occurred_at;
        match event {
            Event::Requested(e) => {
                self.provider = Some(e.provider);
                self.method = Some(method(&e.method).to_owned());
                self.status = Status::Pending;
                self.open("authorise", e.effect_id, at);
            }
            Event::ActionRequired(e) => {
                self.checkout_url = Some(e.checkout_url);
                self.action_until = Some(e.expires_at);
                self.session_id = e.session_id.or(self.session_id.take());
                self.provider_payment_id =
                    e.provider_payment_id.or(self.provider_payment_id.take());
                self.status = Status::Pending;
            }
            Event::Authorised(e) => {
                self.authorised = self.authorised.saturating_add(e.amount.amount);
                self.provider_payment_id = Some(e.provider_payment_id);
                self.status = Status::Authorised;
                self.end("authorise", "ok", None, at);
            }
            Event::Declined(e) => {
                self.status = Status::Declined;
                self.refuse("authorise", e.code, e.message, at);
            }
            Event::CaptureRequested(e) => self.open("capture", e.effect_id, at),
            Event::Captured(e) => {
                self.captured = self.captured.saturating_add(e.amount.amount);
                self.status = Status::Captured;
                self.end("capture", "ok", None, at);
            }
            Event::CaptureRefused(e) => {
                self.status = self.settled();
                self.refuse("capture", e.code, e.message, at);
            }
            Event::VoidRequested(e) => self.open("void", e.effect_id, at),
            Event::Voided(_) => {
                self.authorised = self.captured;
                self.status = Status::Voided;
                self.end("void", "ok", None, at);
            }
            Event::VoidRefused(e) => {
                self.status = self.settled();
                self.refuse("void", e.code, e.message, at);
            }
            Event::RefundRequested(e) => {
                self.status = Status::RefundPending;
                self.open("refund", e.effect_id, at);
            }
            Event::Refunded(e) => {
                self.refunded = self.refunded.saturating_add(e.amount.amount);
                self.refunds.push(Refund {
                    refund_id: e.refund_id,
                    amount: e.amount.amount,
                    refunded_at: at,
                });
                self.status = self.settled();
                self.end("refund", "ok", None, at);
            }
            Event::RefundRefused(e) => {
                // The customer still waits for the money, whoever has to see to it.
                self.status = Status::RefundPending;
                self.refuse("refund", e.code, e.message, at);
            }
            Event::RefundFailed(e) => {
                // Money that the customer's bank returned did not go back.
                self.refunded = self.refunded.saturating_sub(e.amount.amount).max(0);
                self.refunds
                    .retain(|refund| refund.refund_id != e.refund_id);
                self.status = Status::RefundPending;
                self.refuse("refund", e.code, e.message, at);
            }
            Event::OutcomeUnknown(e) => {
                if self.status != Status::RefundPending {
                    self.status = Status::Unknown;
                }
                // Not an end: what is looked up now still ends in one of the outcomes above.
                if let Some(attempt) = self.last(&e.step) {
                    attempt.outcome = "unknown".into();
                    attempt.detail = Some(e.detail);
                }
            }
            // The provider's sums stay as they are; for the customer it is settled.
            Event::SettledOutside(e) => {
                self.status = match e.step.as_str() {
                    "void" => Status::Voided,
                    "refund" => Status::Refunded,
                    _ => Status::Captured,
                };
            }
            // A reason to look the truth up, not the truth.
            Event::CallbackRecorded(_) => {}
        }
    }

    /// How the payment stands by its sums alone.
    fn settled(&self) -> Status {
        if self.captured > self.refunded {
            Status::Captured
        } else if self.authorised > self.captured {
            Status::Authorised
        } else if self.captured > 0 {
            Status::Refunded
        } else {
            Status::Pending
        }
    }

    fn open(&mut self, step: &str, effect_id: EffectId, at: Timestamp) {
        self.attempts.push(Attempt {
            step: step.to_owned(),
            effect_id,
            outcome: "pending".into(),
            detail: None,
            requested_at: at,
            ended_at: None,
        });
    }

    fn end(&mut self, step: &str, outcome: &str, detail: Option<String>, at: Timestamp) {
        if let Some(attempt) = self.last(step) {
            attempt.outcome = outcome.to_owned();
            attempt.detail = detail;
            attempt.ended_at = Some(at);
        }
    }

    fn refuse(&mut self, step: &str, code: String, message: String, at: Timestamp) {
        self.end(step, "refused", Some(code.clone()), at);
        self.refusal = Some(Refusal { code, message });
    }

    fn last(&mut self, step: &str) -> Option<&mut Attempt> {
        self.attempts
            .iter_mut()
            .rev()
            .find(|attempt| attempt.step == step)
    }
}

pub(super) fn method(method: &PaymentMethod) -> &'static str {
    match method {
        PaymentMethod::Card { .. } => "card",
        PaymentMethod::Checkout => "checkout",
    }
}
