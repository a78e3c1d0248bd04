//! Money is asked for, and the customer may have to act for it.

use event_schema::ids::EffectId;
use event_schema::order::PaymentMethod;
use event_schema::payment::{self as event, Event};
use event_schema::{Money, Timestamp};

use super::{Rejection, State, Status};

/// Ask for the money; again under a new effect id only when the old call provably never happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The provider's id.
    pub provider: String,
    /// How much.
    pub amount: Money,
    /// How.
    pub method: PaymentMethod,
    /// The provider's idempotency key of the call.
    pub effect_id: EffectId,
}

impl Request {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self {
            provider,
            amount,
            method,
            effect_id,
        } = self;
        if amount.amount < 1 {
            return Err(Rejection::AmountNotPositive);
        }
        if let Some(asked) = &state.requested {
            if (&asked.provider, asked.amount, &asked.method) != (&provider, amount, &method) {
                return Err(Rejection::RequestedDifferently);
            }
            if asked.effect_id == effect_id {
                return Ok(vec![]);
            }
            if state.has_capturable() {
                return Err(Rejection::AlreadyAuthorised);
            }
            if state.was_captured() {
                return Err(Rejection::AlreadyCaptured);
            }
        }
        Ok(vec![
            event::Requested {
                provider,
                amount,
                method,
                effect_id,
            }
            .into(),
        ])
    }
}

/// The customer has to act on the provider's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequireAction {
    /// The page.
    pub checkout_url: String,
    /// The provider's checkout session, for a hosted checkout.
    pub session_id: Option<String>,
    /// The provider's payment, when it exists already.
    pub provider_payment_id: Option<String>,
    /// Until when we wait.
    pub expires_at: Timestamp,
}

impl RequireAction {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self {
            checkout_url,
            session_id,
            provider_payment_id,
            expires_at,
        } = self;
        if state.requested.is_none() {
            return Err(Rejection::UnknownPayment);
        }
        if state.has_capturable() {
            return Err(Rejection::AlreadyAuthorised);
        }
        if state.was_captured() {
            return Err(Rejection::AlreadyCaptured);
        }
        if state.status == Status::Pending && state.checkout_url.as_ref() == Some(&checkout_url) {
            return Ok(vec![]);
        }
        Ok(vec![
            event::ActionRequired {
                checkout_url,
                session_id,
                provider_payment_id,
                expires_at,
            }
            .into(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::fixtures::{at, eur};
    use crate::payment::Payment;
    use crate::payment::fixtures::{
        action_required, authorised, captured, effect, outcome_unknown, requested, require_action,
    };

    fn request(opening: u32) -> Request {
        Request {
            provider: "sandbox".into(),
            amount: eur(4200),
            method: PaymentMethod::Checkout,
            effect_id: effect("authorise", opening),
        }
    }

    #[test]
    fn money_is_asked_for_once() {
        let state = given::<Payment>([]).when(request(1)).then([requested(1)]);
        assert_eq!(
            (state.status, state.capturable()),
            (Status::Pending, Some(eur(0)))
        );
        given::<Payment>([requested(1)])
            .when(request(1))
            .then_nothing();
    }

    #[test]
    fn a_call_that_never_happened_is_made_again_under_a_new_id() {
        let state = given::<Payment>([requested(1)])
            .when(request(2))
            .then([requested(2)]);
        assert_eq!(state.requested.unwrap().effect_id, effect("authorise", 2));
    }

    #[test]
    fn nobody_is_asked_for_nothing() {
        for amount in [0, -1] {
            given::<Payment>([])
                .when(Request {
                    amount: eur(amount),
                    ..request(1)
                })
                .then_rejected(Rejection::AmountNotPositive);
        }
    }

    #[test]
    fn another_amount_is_another_payment() {
        given::<Payment>([requested(1)])
            .when(Request {
                amount: eur(1),
                ..request(1)
            })
            .then_rejected(Rejection::RequestedDifferently);
    }

    #[test]
    fn money_that_is_set_aside_or_taken_is_not_asked_for_again() {
        given::<Payment>([requested(1), authorised()])
            .when(request(2))
            .then_rejected(Rejection::AlreadyAuthorised);
        given::<Payment>([requested(1), authorised(), captured()])
            .when(request(2))
            .then_rejected(Rejection::AlreadyCaptured);
    }

    #[test]
    fn the_customer_is_sent_to_the_providers_page_once() {
        let state = given::<Payment>([requested(1)])
            .when(require_action())
            .then([action_required()]);
        assert_eq!(
            (state.status, state.session_id.as_deref()),
            (Status::Pending, Some("cs_1"))
        );
        let later = RequireAction {
            expires_at: at(1),
            ..require_action()
        };
        given::<Payment>([requested(1), action_required()])
            .when(later)
            .then_nothing();
    }

    #[test]
    fn a_page_that_is_still_open_after_an_unknown_outcome_is_told_again() {
        let past = [
            requested(1),
            action_required(),
            outcome_unknown("authorise"),
        ];
        let state = given::<Payment>(past)
            .when(require_action())
            .then([action_required()]);
        assert_eq!((state.status, state.unknown_step), (Status::Pending, None));
    }

    #[test]
    fn no_page_is_needed_for_money_nobody_asked_for_or_everybody_has() {
        given::<Payment>([])
            .when(require_action())
            .then_rejected(Rejection::UnknownPayment);
        given::<Payment>([requested(1), authorised()])
            .when(require_action())
            .then_rejected(Rejection::AlreadyAuthorised);
        given::<Payment>([requested(1), authorised(), captured()])
            .when(require_action())
            .then_rejected(Rejection::AlreadyCaptured);
    }
}
