//! Taken money is given back: intended first, then done or refused for good.

use event_schema::Money;
use event_schema::ids::EffectId;
use event_schema::payment::{self as event, Event};

use super::{Rejection, State};

/// Taken money is about to be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestRefund {
    /// The provider's idempotency key of the call.
    pub effect_id: EffectId,
    /// How much: all that was taken.
    pub amount: Money,
}

impl RequestRefund {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self { effect_id, amount } = self;
        let Some(refundable) = state.refundable() else {
            return Err(Rejection::UnknownPayment);
        };
        if state.refund_effect == Some(effect_id) {
            return Ok(vec![]);
        }
        check(state, refundable, amount)?;
        Ok(vec![event::RefundRequested { effect_id, amount }.into()])
    }
}

/// The money is given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The provider's refund.
    pub refund_id: String,
    /// How much.
    pub amount: Money,
}

impl Refund {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self { refund_id, amount } = self;
        let Some(refundable) = state.refundable() else {
            return Err(Rejection::UnknownPayment);
        };
        if state.refund_id.as_ref() == Some(&refund_id) {
            return Ok(vec![]);
        }
        check(state, refundable, amount)?;
        Ok(vec![event::Refunded { refund_id, amount }.into()])
    }
}

/// The provider refused to give the money back, for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefuseRefund {
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub message: String,
}

impl RefuseRefund {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        if state.requested.is_none() {
            return Err(Rejection::UnknownPayment);
        }
        if !state.has_refundable() {
            return Err(Rejection::NotCaptured);
        }
        Ok(vec![
            event::RefundRefused {
                code: self.code,
                message: self.message,
            }
            .into(),
        ])
    }
}

/// A refund that had succeeded has failed after all: the money came back to the shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailRefund {
    /// The provider's refund.
    pub refund_id: String,
    /// How much it had given back.
    pub amount: Money,
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub message: String,
}

impl FailRefund {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self {
            refund_id,
            amount,
            code,
            message,
        } = self;
        let Some(ledger) = state.ledger() else {
            return Err(Rejection::UnknownPayment);
        };
        // Only the refund that the ledger stands on can take it back, and only once.
        if state.refund_id.as_ref() != Some(&refund_id) {
            return Ok(vec![]);
        }
        let refunded = ledger.refunded;
        let fits =
            amount.currency == refunded.currency && (1..=refunded.amount).contains(&amount.amount);
        if !fits {
            return Err(Rejection::AmountMismatch {
                expected: refunded,
                told: amount,
            });
        }
        Ok(vec![
            event::RefundFailed {
                refund_id,
                amount,
                code,
                message,
            }
            .into(),
        ])
    }
}

fn check(state: &State, refundable: Money, amount: Money) -> Result<(), Rejection> {
    if !state.has_refundable() {
        return Err(Rejection::NotCaptured);
    }
    if refundable != amount {
        return Err(Rejection::AmountMismatch {
            expected: refundable,
            told: amount,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::fixtures::eur;
    use crate::payment::fixtures::{
        authorised, captured, effect, refund_requested, refunded, requested,
    };
    use crate::payment::{Payment, Status};

    fn request() -> RequestRefund {
        RequestRefund {
            effect_id: effect("refund", 1),
            amount: eur(4200),
        }
    }

    fn refund() -> Refund {
        Refund {
            refund_id: "re_1".into(),
            amount: eur(4200),
        }
    }

    fn refuse() -> RefuseRefund {
        RefuseRefund {
            code: "account_closed".into(),
            message: "final".into(),
        }
    }

    fn taken() -> [Event; 3] {
        [requested(1), authorised(), captured()]
    }

    #[test]
    fn the_intent_to_give_back_is_recorded_once() {
        let state = given::<Payment>(taken())
            .when(request())
            .then([refund_requested()]);
        assert_eq!(state.status, Status::RefundPending);
        given::<Payment>(taken().into_iter().chain([refund_requested()]))
            .when(request())
            .then_nothing();
    }

    #[test]
    fn the_money_is_given_back_once() {
        let past = || taken().into_iter().chain([refund_requested()]);
        let state = given::<Payment>(past()).when(refund()).then([refunded()]);
        assert_eq!(
            (state.status, state.refundable()),
            (Status::Refunded, Some(eur(0)))
        );
        given::<Payment>(past().chain([refunded()]))
            .when(refund())
            .then_nothing();
        given::<Payment>(past().chain([refunded()]))
            .when(Refund {
                refund_id: "re_2".into(),
                ..refund()
            })
            .then_rejected(Rejection::NotCaptured);
    }

    #[test]
    fn no_more_and_no_less_than_was_taken_is_given_back() {
        for told in [eur(4201), eur(4199)] {
            let mismatch = Rejection::AmountMismatch {
                expected: eur(4200),
                told,
            };
            given::<Payment>(taken())
                .when(RequestRefund {
                    amount: told,
                    ..request()
                })
                .then_rejected(mismatch.clone());
            given::<Payment>(taken())
                .when(Refund {
                    amount: told,
                    ..refund()
                })
                .then_rejected(mismatch);
        }
    }

    #[test]
    fn money_that_was_not_taken_is_not_given_back() {
        given::<Payment>([requested(1), authorised()])
            .when(request())
            .then_rejected(Rejection::NotCaptured);
        given::<Payment>([requested(1), authorised()])
            .when(refund())
            .then_rejected(Rejection::NotCaptured);
        given::<Payment>([requested(1), authorised()])
            .when(refuse())
            .then_rejected(Rejection::NotCaptured);
    }

    #[test]
    fn a_refused_refund_stays_pending_for_the_customer() {
        let refused = event::RefundRefused {
            code: "account_closed".into(),
            message: "final".into(),
        };
        let state = given::<Payment>(taken().into_iter().chain([refund_requested()]))
            .when(refuse())
            .then([refused.into()]);
        assert_eq!(
            (state.status, state.refundable()),
            (Status::RefundPending, Some(eur(4200)))
        );
    }

    #[test]
    fn a_refund_that_fails_after_all_is_owed_again_once() {
        let fail = |refund_id: &str| FailRefund {
            refund_id: refund_id.into(),
            amount: eur(4200),
            code: "expired_or_canceled_card".into(),
            message: "the refund failed".into(),
        };
        let failed = || -> Event {
            event::RefundFailed {
                refund_id: "re_1".into(),
                amount: eur(4200),
                code: "expired_or_canceled_card".into(),
                message: "the refund failed".into(),
            }
            .into()
        };
        let past = || {
            let done = [refund_requested(), refunded()];
            taken().into_iter().chain(done)
        };
        let state = given::<Payment>(past()).when(fail("re_1")).then([failed()]);
        assert_eq!(
            (state.status, state.refundable()),
            (Status::RefundPending, Some(eur(4200)))
        );
        assert!(!state.was_given_back("pi_1"));
        given::<Payment>(past().chain([failed()]))
            .when(fail("re_1"))
            .then_nothing();
        given::<Payment>(past()).when(fail("re_0")).then_nothing();
        given::<Payment>(past().chain([failed()]))
            .when(Refund {
                refund_id: "re_2".into(),
                ..refund()
            })
            .then([event::Refunded {
                refund_id: "re_2".into(),
                amount: eur(4200),
            }
            .into()]);
    }

    #[test]
    fn nothing_is_given_back_that_nobody_asked_for() {
        given::<Payment>([])
            .when(request())
            .then_rejected(Rejection::UnknownPayment);
        given::<Payment>([])
            .when(refund())
            .then_rejected(Rejection::UnknownPayment);
        given::<Payment>([])
            .when(refuse())
            .then_rejected(Rejection::UnknownPayment);
    }
}
