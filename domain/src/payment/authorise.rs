//! The provider's word on the request: set aside, or refused for good.

use event_schema::Money;
use event_schema::payment::{self as event, Event};

use super::{Rejection, State, Status};

/// The money is set aside. It may come after we gave up: then it is recorded and let go again by the saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorise {
    /// The provider's payment.
    pub provider_payment_id: String,
    /// How much.
    pub amount: Money,
}

impl Authorise {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self {
            provider_payment_id,
            amount,
        } = self;
        let Some(asked) = &state.requested else {
            return Err(Rejection::UnknownPayment);
        };
        if asked.amount != amount {
            return Err(Rejection::AmountMismatch {
                expected: asked.amount,
                told: amount,
            });
        }
        let same = state.provider_payment_id.as_ref() == Some(&provider_payment_id);
        if state.has_capturable() {
            return if same {
                Ok(vec![])
            } else {
                Err(Rejection::AlreadyAuthorised)
            };
        }
        if state.has_refundable() {
            return if same {
                Ok(vec![])
            } else {
                Err(Rejection::AlreadyCaptured)
            };
        }
        if state
            .ledger()
            .is_some_and(|ledger| ledger.authorised.plus(amount).is_err())
        {
            return Err(Rejection::AmountTooLarge);
        }
        Ok(vec![
            event::Authorised {
                provider_payment_id,
                amount,
            }
            .into(),
        ])
    }
}

/// The provider refused for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decline {
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub message: String,
}

impl Decline {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        if state.requested.is_none() {
            return Err(Rejection::UnknownPayment);
        }
        if state.has_capturable() {
            return Err(Rejection::AlreadyAuthorised);
        }
        if state.was_captured() {
            return Err(Rejection::AlreadyCaptured);
        }
        if state.status == Status::Declined {
            return Ok(vec![]);
        }
        Ok(vec![
            event::Declined {
                code: self.code,
                message: self.message,
            }
            .into(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use event_schema::Currency;
    use event_schema::testing::given;

    use super::*;
    use crate::fixtures::eur;
    use crate::payment::Payment;
    use crate::payment::fixtures::{authorised, captured, declined, requested, voided};

    fn authorise(id: &str) -> Authorise {
        Authorise {
            provider_payment_id: id.into(),
            amount: eur(4200),
        }
    }

    fn decline() -> Decline {
        Decline {
            code: "card_declined".into(),
            message: "Your card was declined.".into(),
        }
    }

    #[test]
    fn the_money_is_set_aside_and_can_be_taken() {
        let state = given::<Payment>([requested(1)])
            .when(authorise("pi_1"))
            .then([authorised()]);
        assert_eq!(
            (state.status, state.capturable()),
            (Status::Authorised, Some(eur(4200)))
        );
    }

    #[test]
    fn the_same_word_again_changes_nothing() {
        given::<Payment>([requested(1), authorised()])
            .when(authorise("pi_1"))
            .then_nothing();
        given::<Payment>([requested(1), authorised(), captured()])
            .when(authorise("pi_1"))
            .then_nothing();
        given::<Payment>([requested(1), declined()])
            .when(decline())
            .then_nothing();
    }

    #[test]
    fn money_that_lands_after_it_was_let_go_or_refused_is_recorded() {
        given::<Payment>([requested(1), voided()])
            .when(authorise("pi_1"))
            .then([authorised()]);
        given::<Payment>([requested(1), declined()])
            .when(authorise("pi_1"))
            .then([authorised()]);
    }

    #[test]
    fn another_amount_or_currency_is_never_taken_for_the_money_asked_for() {
        for told in [eur(4199), Money::new(4200, Currency::USD)] {
            given::<Payment>([requested(1)])
                .when(Authorise {
                    amount: told,
                    ..authorise("pi_1")
                })
                .then_rejected(Rejection::AmountMismatch {
                    expected: eur(4200),
                    told,
                });
        }
    }

    #[test]
    fn money_is_set_aside_once_at_a_time() {
        given::<Payment>([requested(1), authorised()])
            .when(authorise("pi_2"))
            .then_rejected(Rejection::AlreadyAuthorised);
        given::<Payment>([requested(1), authorised(), captured()])
            .when(authorise("pi_2"))
            .then_rejected(Rejection::AlreadyCaptured);
    }

    #[test]
    fn a_refusal_for_good_is_recorded() {
        let state = given::<Payment>([requested(1)])
            .when(decline())
            .then([declined()]);
        assert_eq!(state.status, Status::Declined);
    }

    #[test]
    fn money_we_have_was_not_declined() {
        given::<Payment>([requested(1), authorised()])
            .when(decline())
            .then_rejected(Rejection::AlreadyAuthorised);
        given::<Payment>([requested(1), authorised(), captured()])
            .when(decline())
            .then_rejected(Rejection::AlreadyCaptured);
    }

    #[test]
    fn nothing_is_known_of_money_nobody_asked_for() {
        given::<Payment>([])
            .when(authorise("pi_1"))
            .then_rejected(Rejection::UnknownPayment);
        given::<Payment>([])
            .when(decline())
            .then_rejected(Rejection::UnknownPayment);
    }

    #[test]
    fn a_sum_that_does_not_fit_is_refused() {
        let huge = eur(i64::MAX);
        let Event::Requested(asked) = requested(1) else {
            unreachable!()
        };
        let past = [
            event::Requested {
                amount: huge,
                ..asked
            }
            .into(),
            event::Authorised {
                provider_payment_id: "pi_1".into(),
                amount: huge,
            }
            .into(),
            event::Captured { amount: huge }.into(),
            event::Refunded {
                refund_id: "re_1".into(),
                amount: huge,
            }
            .into(),
        ];
        given::<Payment>(past)
            .when(Authorise {
                amount: huge,
                ..authorise("pi_2")
            })
            .then_rejected(Rejection::AmountTooLarge);
    }
}
