//! The cards of the sandbox: Stripe's test names, and some of our own for what a network can do to a shop.

use crate::error::ApiError;

/// A known payment method. How it behaves when it is charged, captured, voided and refunded follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Card {
    /// Everything works.
    Good,
    /// The issuer says no.
    Declined(Decline),
    /// The customer has to confirm on a hosted page first.
    AuthenticationRequired,
    /// Authorised, but the answer never comes.
    Timeout,
    /// Authorised, but the answer comes after the caller's deadline.
    Slow,
    /// The first attempt for an order answers 500 without having done anything.
    ServerErrorOnce,
    /// Accepted as `processing`; settles by itself a little later.
    Processing,
    /// Authorised; the capture is refused for good.
    CaptureRefused,
    /// Authorised; cannot be cancelled.
    VoidRefused,
    /// Authorised for one minor unit less than asked.
    AmountMismatch,
    /// Charged; a refund is refused for good.
    RefundRefused,
    /// Charged; a refund is pending for a while before it succeeds.
    RefundPending,
    /// Charged; a refund seems to succeed and fails a little later.
    RefundFailsLater,
}

/// The issuer's no, in Stripe's words for machines and ours for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decline {
    pub(crate) code: &'static str,
    pub(crate) decline_code: Option<&'static str>,
    pub(crate) message: &'static str,
}

const GENERIC: Decline = Decline {
    code: "card_declined",
    decline_code: Some("generic_decline"),
    message: "The card was declined.",
};

/// Authentication was needed and could not be asked for, or the customer did not pass it.
pub(crate) const AUTHENTICATION_REQUIRED: Decline = Decline {
    code: "card_declined",
    decline_code: Some("authentication_required"),
    message: "The card was declined: this payment needs the customer's confirmation.",
};

/// The customer refused on the confirmation page.
pub(crate) const AUTHENTICATION_FAILED: Decline = Decline {
    code: "payment_intent_authentication_failure",
    decline_code: None,
    message: "The customer did not confirm the payment. Ask for another payment method.",
};

impl Card {
    /// The card behind a token.
    pub(crate) fn parse(token: &str) -> Option<Self> {
        Some(match token {
            "pm_card_visa" | "pm_card_visa_debit" | "pm_card_mastercard" | "pm_card_amex" => {
                Self::Good
            }
            "pm_card_visa_chargeDeclined" | "pm_card_chargeDeclined" => Self::Declined(GENERIC),
            "pm_card_chargeDeclinedInsufficientFunds"
            | "pm_card_visa_chargeDeclinedInsufficientFunds" => Self::Declined(Decline {
                code: "card_declined",
                decline_code: Some("insufficient_funds"),
                message: "The card was declined: not enough money on it.",
            }),
            "pm_card_chargeDeclinedLostCard" | "pm_card_visa_chargeDeclinedLostCard" => {
                Self::Declined(Decline {
                    code: "card_declined",
                    decline_code: Some("lost_card"),
                    message: "The card was declined.",
                })
            }
            "pm_card_chargeDeclinedExpiredCard" | "pm_card_visa_chargeDeclinedExpiredCard" => {
                Self::Declined(Decline {
                    code: "expired_card",
                    decline_code: None,
                    message: "The card has expired.",
                })
            }
            "pm_card_chargeDeclinedProcessingError"
            | "pm_card_visa_chargeDeclinedProcessingError" => Self::Declined(Decline {
                code: "processing_error",
                decline_code: None,
                message: "The card could not be processed. Try again in a moment or with another card.",
            }),
            "pm_card_authenticationRequired" => Self::AuthenticationRequired,
            "pm_card_pendingRefund" => Self::RefundPending,
            "pm_card_refundFail" => Self::RefundFailsLater,
            "pm_waybill_timeout" => Self::Timeout,
            "pm_waybill_slow" => Self::Slow,
            "pm_waybill_5xx_once" => Self::ServerErrorOnce,
            "pm_waybill_processing" => Self::Processing,
            "pm_waybill_capture_refused" => Self::CaptureRefused,
            "pm_waybill_void_refused" => Self::VoidRefused,
            "pm_waybill_refund_refused" => Self::RefundRefused,
            "pm_waybill_amount_mismatch" => Self::AmountMismatch,
            _ => return None,
        })
    }

    /// The card behind a parameter, or Stripe's answer to a name that it does not know.
    pub(crate) fn from_parameter(token: &str, param: &str) -> Result<Self, ApiError> {
        Self::parse(token)
            .ok_or_else(|| ApiError::no_such_parameter("payment method", token, param))
    }
}
