//! The money is taken: intended first, then done or refused for good.

use event_schema::Money;
use event_schema::ids::EffectId;
use event_schema::payment::{self as event, Event};

use super::{Rejection, State};

/// The money is about to be taken: the point of no return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestCapture {
    /// The provider's idempotency key of the call.
    pub effect_id: EffectId,
}

impl RequestCapture {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self { effect_id } = self;
        if state.requested.is_none() {
            return Err(Rejection::UnknownPayment);
        }
        if state.capture_effect == Some(effect_id) {
            return Ok(vec![]);
        }
        if !state.has_capturable() {
            return Err(Rejection::NotAuthorised);
        }
        Ok(vec![event::CaptureRequested { effect_id }.into()])
    }
}

/// The money is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capture {
    /// How much.
    pub amount: Money,
}

impl Capture {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self { amount } = self;
        let (Some(capturable), Some(refundable)) = (state.capturable(), state.refundable()) else {
            return Err(Rejection::UnknownPayment);
        };
        if state.has_refundable() {
            return if refundable == amount {
                Ok(vec![])
            } else {
                Err(Rejection::AmountMismatch {
                    expected: refundable,
                    told: amount,
                })
            };
        }
        if !state.has_capturable() {
            return Err(Rejection::NotAuthorised);
        }
        if capturable != amount {
            return Err(Rejection::AmountMismatch {
                expected: capturable,
                told: amount,
            });
        }
        Ok(vec![event::Captured { amount }.into()])
    }
}

/// The provider refused to take the money, for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefuseCapture {
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub message: String,
}

impl RefuseCapture {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        if state.requested.is_none() {
            return Err(Rejection::UnknownPayment);
        }
        if state.was_captured() {
            return Err(Rejection::AlreadyCaptured);
        }
        if !state.has_capturable() {
            return Err(Rejection::NotAuthorised);
        }
        Ok(vec![
            event::CaptureRefused {
                code: self.code,
                message: self.message,
            }
            .into(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::fixtures::eur;
    use crate::payment::fixtures::{
        authorised, capture_requested, captured, effect, outcome_unknown, refunded, requested,
    };
    use crate::payment::{Payment, Status};

    fn request() -> RequestCapture {
        RequestCapture {
            effect_id: effect("capture", 1),
        }
    }

    fn refuse() -> RefuseCapture {
        RefuseCapture {
            code: "charge_expired".into(),
            message: "too late".into(),
        }
    }

    #[test]
    fn the_intent_to_take_the_money_is_recorded_once() {
        given::<Payment>([requested(1), authorised()])
            .when(request())
            .then([capture_requested()]);
        given::<Payment>([requested(1), authorised(), capture_requested()])
            .when(request())
            .then_nothing();
    }

    #[test]
    fn money_that_is_not_set_aside_cannot_be_taken() {
        given::<Payment>([requested(1)])
            .when(request())
            .then_rejected(Rejection::NotAuthorised);
        given::<Payment>([requested(1)])
            .when(Capture { amount: eur(4200) })
            .then_rejected(Rejection::NotAuthorised);
        given::<Payment>([requested(1)])
            .when(refuse())
            .then_rejected(Rejection::NotAuthorised);
    }

    #[test]
    fn the_money_is_taken_once() {
        let past = [requested(1), authorised(), capture_requested()];
        let state = given::<Payment>(past.clone())
            .when(Capture { amount: eur(4200) })
            .then([captured()]);
        assert_eq!(
            (state.status, state.refundable()),
            (Status::Captured, Some(eur(4200)))
        );
        given::<Payment>(past.into_iter().chain([captured()]))
            .when(Capture { amount: eur(4200) })
            .then_nothing();
    }

    #[test]
    fn money_that_was_given_back_is_not_taken_again() {
        given::<Payment>([requested(1), authorised(), captured(), refunded()])
            .when(Capture { amount: eur(4200) })
            .then_rejected(Rejection::NotAuthorised);
    }

    #[test]
    fn another_amount_than_is_set_aside_or_taken_is_refused() {
        let mismatch = Rejection::AmountMismatch {
            expected: eur(4200),
            told: eur(4300),
        };
        given::<Payment>([requested(1), authorised()])
            .when(Capture { amount: eur(4300) })
            .then_rejected(mismatch.clone());
        given::<Payment>([requested(1), authorised(), captured()])
            .when(Capture { amount: eur(4300) })
            .then_rejected(mismatch);
    }

    #[test]
    fn a_refused_capture_leaves_the_money_set_aside() {
        let past = [
            requested(1),
            authorised(),
            capture_requested(),
            outcome_unknown("capture"),
        ];
        let refused = event::CaptureRefused {
            code: "charge_expired".into(),
            message: "too late".into(),
        };
        let state = given::<Payment>(past).when(refuse()).then([refused.into()]);
        assert_eq!(
            (state.status, state.unknown_step),
            (Status::Authorised, None)
        );
    }

    #[test]
    fn money_that_was_taken_was_not_refused() {
        given::<Payment>([requested(1), authorised(), captured()])
            .when(refuse())
            .then_rejected(Rejection::AlreadyCaptured);
    }

    #[test]
    fn nothing_is_taken_that_nobody_asked_for() {
        given::<Payment>([])
            .when(request())
            .then_rejected(Rejection::UnknownPayment);
        given::<Payment>([])
            .when(Capture { amount: eur(1) })
            .then_rejected(Rejection::UnknownPayment);
        given::<Payment>([])
            .when(refuse())
            .then_rejected(Rejection::UnknownPayment);
    }
}
