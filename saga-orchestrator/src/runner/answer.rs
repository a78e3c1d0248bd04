//! What an effect's outcome means as an input of the saga.

use domain::fulfilment::{Answer, Input, Step};
use event_schema::ids::EffectId;
use event_schema::order::CancelReason;

use crate::effect::{Outcome, SESSION_EXPIRED};

/// The saga's input, for the effect that was called or looked up.
pub(super) fn input(step: Step, effect_id: EffectId, outcome: Outcome) -> Input {
    let answer = match outcome {
        // Nobody paid, which is no refusal: the checkout is closed like one whose time was over here.
        Outcome::Refused { code, message }
            if step == Step::Authorise && code == SESSION_EXPIRED =>
        {
            return Input::CancelRequested {
                reason: CancelReason::PaymentExpired,
                detail: Some(message),
            };
        }
        Outcome::Authorised { payment_id, amount } => Answer::Authorised {
            provider_payment_id: payment_id,
            amount,
        },
        Outcome::ActionRequired {
            page,
            session_id,
            payment_id,
        } => Answer::ActionRequired {
            checkout_url: page,
            session_id,
            provider_payment_id: payment_id,
        },
        Outcome::Captured { amount, .. } if step == Step::Capture => Answer::Captured { amount },
        Outcome::Captured { payment_id, amount } => Answer::AlreadyCaptured {
            provider_payment_id: payment_id,
            amount,
        },
        Outcome::Voided => Answer::Voided,
        Outcome::NothingToVoid => Answer::NothingToVoid,
        Outcome::Refunded { refund_id, amount } => Answer::Refunded { refund_id, amount },
        Outcome::Refused { code, message } => Answer::Refused { code, message },
        Outcome::RefundFailed {
            refund_id,
            amount,
            code,
            message,
        } => Answer::RefundFailed {
            refund_id,
            amount,
            code,
            message,
        },
        Outcome::Retry {
            detail,
            after,
            reachable,
        } => Answer::Retry {
            after,
            detail,
            reachable,
        },
        Outcome::Unknown {
            detail,
            reachable,
            after,
        } => Answer::Unknown {
            after,
            detail,
            reachable,
        },
        Outcome::NeverHappened { detail } => Answer::NeverHappened { detail },
    };
    Input::Answered {
        step,
        effect_id,
        answer,
    }
}

/// The outcome in one word, for metrics and logs.
pub(super) fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Authorised { .. }
        | Outcome::Captured { .. }
        | Outcome::Voided
        | Outcome::NothingToVoid
        | Outcome::Refunded { .. } => "ok",
        Outcome::ActionRequired { .. } => "action_required",
        Outcome::Refused { .. } | Outcome::RefundFailed { .. } => "refused",
        Outcome::Retry { .. } => "retry",
        Outcome::Unknown { .. } => "unknown",
        Outcome::NeverHappened { .. } => "never_happened",
    }
}
