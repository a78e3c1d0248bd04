//! What can happen to the payment of one order; its id is the order's.
//!
//! The saga decides these events together with its own; the one that comes from outside is `callback_recorded`.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::event_set::event_set;
use crate::ids::EffectId;
use crate::money::Money;
use crate::order::PaymentMethod;

/// Money is asked for: the provider may be called from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requested {
    /// The provider's id, such as `sandbox` or `stripe`.
    pub provider: String,
    /// How much.
    pub amount: Money,
    /// How.
    pub method: PaymentMethod,
    /// The provider's idempotency key of the call.
    pub effect_id: EffectId,
}

/// The customer has to act on the provider's page: a hosted checkout, or a card that asks for confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRequired {
    /// The page.
    pub checkout_url: String,
    /// The provider's checkout session, for a hosted checkout.
    pub session_id: Option<String>,
    /// The provider's payment, when it exists already.
    pub provider_payment_id: Option<String>,
    /// Until when we wait.
    pub expires_at: Timestamp,
}

/// The money is set aside for us, not taken yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorised {
    /// The provider's payment.
    pub provider_payment_id: String,
    /// How much.
    pub amount: Money,
}

/// The provider refused for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declined {
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub message: String,
}

/// The money is about to be taken: the point of no return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureRequested {
    /// The provider's idempotency key of the call.
    pub effect_id: EffectId,
}

/// The money is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// How much.
    pub amount: Money,
}

/// The provider refused to take the money, for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureRefused {
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub message: String,
}

/// What was set aside, or may still be, is about to be let go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoidRequested {
    /// The provider's idempotency key of the call.
    pub effect_id: EffectId,
}

/// Nothing is set aside any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voided {}

/// The provider refused to let the money go, for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoidRefused {
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub message: String,
}

/// Taken money is about to be given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRequested {
    /// The provider's idempotency key of the call.
    pub effect_id: EffectId,
    /// How much.
    pub amount: Money,
}

/// The money is given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refunded {
    /// The provider's refund.
    pub refund_id: String,
    /// How much.
    pub amount: Money,
}

/// The provider refused to give the money back, for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRefused {
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub message: String,
}

/// A refund that seemed to have succeeded has failed after all: the customer's bank sent the money back, and the shop
/// has it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundFailed {
    /// The provider's refund.
    pub refund_id: String,
    /// How much came back.
    pub amount: Money,
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub message: String,
}

/// A call had no answer we can use: it is being looked up, never taken for a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeUnknown {
    /// Which step, such as `authorise`.
    pub step: String,
    /// What we saw instead of an answer.
    pub detail: String,
}

/// A person has settled a step outside the provider, such as a refund paid by bank transfer. The provider's own sums
/// stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledOutside {
    /// Which step, such as `refund`.
    pub step: String,
    /// How much.
    pub amount: Money,
    /// The operator's words.
    pub reason: String,
}

/// A signed callback told something new or contradicting; the saga looks the truth up at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackRecorded {
    /// Who called.
    pub provider: String,
    /// The provider's id of the event; a repeat has the same.
    pub provider_event_id: String,
    /// The provider's type of the event, such as `payment_intent.succeeded`.
    pub kind: String,
    /// The payment it is about, when named.
    pub provider_payment_id: Option<String>,
    /// The checkout session it is about, when named.
    pub session_id: Option<String>,
    /// The amount it names.
    pub amount: Option<Money>,
    /// The provider's status of the payment or session, as it says.
    pub status: Option<String>,
    /// When the provider made the event.
    pub created_at: Timestamp,
}

event_set! {
    /// A payment's events.
    pub enum Event of "payment" {
        /// Money is asked for.
        "payment.requested" 1 => Requested(Requested),
        /// The customer has to act on the provider's page.
        "payment.action_required" 1 => ActionRequired(ActionRequired),
        /// Set aside.
        "payment.authorised" 1 => Authorised(Authorised),
        /// Refused for good.
        "payment.declined" 1 => Declined(Declined),
        /// About to be taken.
        "payment.capture_requested" 1 => CaptureRequested(CaptureRequested),
        /// Taken.
        "payment.captured" 1 => Captured(Captured),
        /// Taking was refused for good.
        "payment.capture_refused" 1 => CaptureRefused(CaptureRefused),
        /// About to be let go.
        "payment.void_requested" 1 => VoidRequested(VoidRequested),
        /// Let go.
        "payment.voided" 1 => Voided(Voided),
        /// Letting go was refused for good.
        "payment.void_refused" 1 => VoidRefused(VoidRefused),
        /// About to be given back.
        "payment.refund_requested" 1 => RefundRequested(RefundRequested),
        /// Given back.
        "payment.refunded" 1 => Refunded(Refunded),
        /// Giving back was refused for good.
        "payment.refund_refused" 1 => RefundRefused(RefundRefused),
        /// Given back, and returned by the customer's bank.
        "payment.refund_failed" 1 => RefundFailed(RefundFailed),
        /// No usable answer; being looked up.
        "payment.outcome_unknown" 1 => OutcomeUnknown(OutcomeUnknown),
        /// Settled by a person, outside the provider.
        "payment.settled_outside" 1 => SettledOutside(SettledOutside),
        /// A signed callback told something new.
        "payment.callback_recorded" 1 => CallbackRecorded(CallbackRecorded),
    }
    upcasts []
}
