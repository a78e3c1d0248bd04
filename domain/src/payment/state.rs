//! What decisions about a payment remember: what was asked, how it stands, the ledger, and the provider's names.

use std::collections::VecDeque;

use event_schema::ids::EffectId;
use event_schema::payment::{Event, Requested};
use event_schema::{Currency, Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::callback::REMEMBERED_CALLBACKS;
use super::settle_outside::Way;

/// How many of the provider's payments that were put back are remembered.
const REMEMBERED_PUT_BACK: usize = 16;

/// How a payment stands, in the words of the API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// No money was asked for.
    #[default]
    None,
    /// Asked for; the provider or the customer has to act.
    Pending,
    /// Set aside.
    Authorised,
    /// Taken.
    Captured,
    /// Let go.
    Voided,
    /// Being given back, or stuck in that.
    RefundPending,
    /// Given back.
    Refunded,
    /// Nobody knows yet; being looked up.
    Unknown,
    /// Refused for good.
    Declined,
}

impl Status {
    /// The status as shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pending => "pending",
            Self::Authorised => "authorised",
            Self::Captured => "captured",
            Self::Voided => "voided",
            Self::RefundPending => "refund_pending",
            Self::Refunded => "refunded",
            Self::Unknown => "unknown",
            Self::Declined => "declined",
        }
    }
}

/// The sums of a payment: 0 ≤ refunded ≤ captured ≤ authorised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Set aside in all; what was let go is not in it.
    pub authorised: Money,
    /// Taken in all.
    pub captured: Money,
    /// Given back in all.
    pub refunded: Money,
}

/// What a person has settled outside the provider, beside the provider's own sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// Received in all, such as by bank transfer.
    pub received: Money,
    /// Given back in all.
    pub returned: Money,
}

/// A payment so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What was asked for, under the newest effect id.
    pub requested: Option<Requested>,
    /// How it stands.
    pub status: Status,
    /// The provider's page, when the customer has to act.
    pub checkout_url: Option<String>,
    /// Until when the customer has time for that.
    pub action_until: Option<Timestamp>,
    /// The provider's checkout session.
    pub session_id: Option<String>,
    /// The provider's payment.
    pub provider_payment_id: Option<String>,
    /// The provider's refund.
    pub refund_id: Option<String>,
    /// The newest effect that takes the money.
    pub capture_effect: Option<EffectId>,
    /// The newest effect that lets it go.
    pub void_effect: Option<EffectId>,
    /// The newest effect that gives it back.
    pub refund_effect: Option<EffectId>,
    /// The step whose outcome nobody knows yet.
    pub unknown_step: Option<String>,
    // Minor units in the currency that was asked for.
    authorised: i64,
    captured: i64,
    refunded: i64,
    received_outside: i64,
    returned_outside: i64,
    let_go: VecDeque<String>,
    given_back: VecDeque<String>,
    callbacks: VecDeque<String>,
}

impl State {
    /// The sums, once money was asked for.
    pub fn ledger(&self) -> Option<Ledger> {
        let currency = self.currency()?;
        Some(Ledger {
            authorised: Money::new(self.authorised, currency),
            captured: Money::new(self.captured, currency),
            refunded: Money::new(self.refunded, currency),
        })
    }

    /// What was settled outside the provider, once money was asked for.
    pub fn outside(&self) -> Option<Outside> {
        let currency = self.currency()?;
        Some(Outside {
            received: Money::new(self.received_outside, currency),
            returned: Money::new(self.returned_outside, currency),
        })
    }

    /// Whether this very payment of the provider was let go; what is told of it later is old.
    pub fn was_let_go(&self, provider_payment_id: &str) -> bool {
        self.let_go.iter().any(|id| id == provider_payment_id)
    }

    /// Whether this very payment of the provider was given back; what is told of it later is old.
    pub fn was_given_back(&self, provider_payment_id: &str) -> bool {
        self.given_back.iter().any(|id| id == provider_payment_id)
    }

    /// What is set aside and neither taken nor let go.
    pub fn capturable(&self) -> Option<Money> {
        Some(Money::new(
            self.authorised.saturating_sub(self.captured),
            self.currency()?,
        ))
    }

    /// What is taken and not given back.
    pub fn refundable(&self) -> Option<Money> {
        Some(Money::new(
            self.captured.saturating_sub(self.refunded),
            self.currency()?,
        ))
    }

    fn currency(&self) -> Option<Currency> {
        self.requested
            .as_ref()
            .map(|requested| requested.amount.currency)
    }

    /// Whether money is set aside now.
    pub fn has_capturable(&self) -> bool {
        self.authorised > self.captured
    }

    /// Whether taken money was not given back.
    pub fn has_refundable(&self) -> bool {
        self.captured > self.refunded
    }

    /// Whether money was ever taken.
    pub(super) fn was_captured(&self) -> bool {
        self.captured > 0
    }

    pub(super) fn has_seen(&self, provider_event_id: &str) -> bool {
        self.callbacks.iter().any(|seen| seen == provider_event_id)
    }

    /// How the payment stands by its ledger alone.
    fn settled(&self) -> Status {
        if self.has_refundable() {
            Status::Captured
        } else if self.has_capturable() {
            Status::Authorised
        } else if self.captured > 0 {
            Status::Refunded
        } else {
            Status::Pending
        }
    }

    fn known(&mut self, status: Status) {
        self.status = status;
        self.unknown_step = None;
    }

    // History happened, so sums are kept within bounds instead of argued with; the ledger's rule is decided beforehand.
    pub(super) fn evolve(mut self, event: &Event) -> Self {
        match event {
            Event::Requested(e) => {
                self.requested = Some(e.clone());
                self.known(Status::Pending);
            }
            Event::ActionRequired(e) => {
                self.checkout_url = Some(e.checkout_url.clone());
                self.action_until = Some(e.expires_at);
                self.session_id = e.session_id.clone().or(self.session_id);
                self.provider_payment_id =
                    e.provider_payment_id.clone().or(self.provider_payment_id);
                self.known(Status::Pending);
            }
            Event::Authorised(e) => {
                self.authorised = self.authorised.saturating_add(e.amount.amount);
                self.provider_payment_id = Some(e.provider_payment_id.clone());
                self.known(Status::Authorised);
            }
            Event::Declined(_) => self.known(Status::Declined),
            Event::CaptureRequested(e) => self.capture_effect = Some(e.effect_id),
            Event::Captured(e) => {
                self.captured = self.captured.saturating_add(e.amount.amount);
                self.known(Status::Captured);
            }
            Event::CaptureRefused(_) => self.known(self.settled()),
            Event::VoidRequested(e) => self.void_effect = Some(e.effect_id),
            Event::Voided(_) => {
                self.authorised = self.captured;
                remember(&mut self.let_go, self.provider_payment_id.as_ref());
                self.known(Status::Voided);
            }
            Event::VoidRefused(_) => self.known(self.settled()),
            Event::RefundRequested(e) => {
                self.refund_effect = Some(e.effect_id);
                self.known(Status::RefundPending);
            }
            Event::Refunded(e) => {
                self.refunded = self.refunded.saturating_add(e.amount.amount);
                self.refund_id = Some(e.refund_id.clone());
                if !self.has_refundable() {
                    remember(&mut self.given_back, self.provider_payment_id.as_ref());
                }
                self.known(self.settled());
            }
            // The customer still waits for the money, whoever has to see to it.
            Event::RefundRefused(_) => self.known(Status::RefundPending),
            Event::RefundFailed(e) => {
                self.refunded = self.refunded.saturating_sub(e.amount.amount).max(0);
                self.refund_id = None;
                let returned = self.provider_payment_id.as_ref();
                self.given_back.retain(|id| Some(id) != returned);
                self.known(Status::RefundPending);
            }
            Event::OutcomeUnknown(e) => {
                self.unknown_step = Some(e.step.clone());
                if self.status != Status::RefundPending {
                    self.status = Status::Unknown;
                }
            }
            Event::SettledOutside(e) => {
                let amount = e.amount.amount;
                match Way::of(&e.step) {
                    Way::Received => {
                        self.received_outside = self.received_outside.saturating_add(amount);
                        self.known(Status::Captured);
                    }
                    Way::LetGo => self.known(Status::Voided),
                    Way::Returned => {
                        self.returned_outside = self.returned_outside.saturating_add(amount);
                        self.known(Status::Refunded);
                    }
                }
            }
            Event::CallbackRecorded(e) => {
                if self.callbacks.len() >= REMEMBERED_CALLBACKS {
                    self.callbacks.pop_front();
                }
                self.callbacks.push_back(e.provider_event_id.clone());
            }
        }
        self
    }
}

fn remember(ids: &mut VecDeque<String>, id: Option<&String>) {
    let Some(id) = id else { return };
    if ids.contains(id) {
        return;
    }
    if ids.len() >= REMEMBERED_PUT_BACK {
        ids.pop_front();
    }
    ids.push_back(id.clone());
}
