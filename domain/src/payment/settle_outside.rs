//! A person has settled a step outside the provider. The provider's own sums stay as they are; the customer sees that
//! it is settled.

use event_schema::Money;
use event_schema::payment::{self as event, Event};

use super::{Rejection, State};

/// A step was settled outside the provider, such as a refund paid by bank transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettleOutside {
    /// Which step.
    pub step: String,
    /// How much.
    pub amount: Money,
    /// The operator's words.
    pub reason: String,
}

/// What a step does with the money.
pub(super) enum Way {
    /// The shop gets it.
    Received,
    /// It stays the customer's.
    LetGo,
    /// The customer gets it back.
    Returned,
}

impl Way {
    /// By the step as stored. What is not a way back is a way forward.
    pub(super) fn of(step: &str) -> Self {
        match step {
            "void" => Self::LetGo,
            "refund" => Self::Returned,
            _ => Self::Received,
        }
    }
}

impl SettleOutside {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self {
            step,
            amount,
            reason,
        } = self;
        let Some(asked) = &state.requested else {
            return Err(Rejection::UnknownPayment);
        };
        if asked.amount.currency != amount.currency {
            return Err(Rejection::AmountMismatch {
                expected: asked.amount,
                told: amount,
            });
        }
        Ok(vec![
            event::SettledOutside {
                step,
                amount,
                reason,
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
    use crate::payment::fixtures::{
        authorised, captured, outcome_unknown, refund_requested, requested,
    };
    use crate::payment::{Payment, Status};

    fn settle(step: &str) -> SettleOutside {
        SettleOutside {
            step: step.into(),
            amount: eur(4200),
            reason: "bank transfer 8831".into(),
        }
    }

    fn settled(step: &str) -> Event {
        event::SettledOutside {
            step: step.into(),
            amount: eur(4200),
            reason: "bank transfer 8831".into(),
        }
        .into()
    }

    #[test]
    fn a_refund_paid_by_other_means_is_refunded_for_the_customer_and_not_at_the_provider() {
        let state = given::<Payment>([requested(1), authorised(), captured(), refund_requested()])
            .when(settle("refund"))
            .then([settled("refund")]);
        assert_eq!(state.status, Status::Refunded);
        assert_eq!(state.ledger().unwrap().refunded, eur(0));
        assert_eq!(state.outside().unwrap().returned, eur(4200));
    }

    #[test]
    fn money_that_came_by_other_means_counts_as_taken_and_ends_the_doubt() {
        let state = given::<Payment>([requested(1), outcome_unknown("authorise")])
            .when(settle("authorise"))
            .then([settled("authorise")]);
        assert_eq!(
            (state.status, state.unknown_step.as_deref()),
            (Status::Captured, None)
        );
        assert_eq!(state.outside().unwrap().received, eur(4200));
        assert_eq!(state.ledger().unwrap().captured, eur(0));
    }

    #[test]
    fn what_was_let_go_by_other_means_is_let_go_for_the_customer() {
        let state = given::<Payment>([requested(1), authorised()])
            .when(settle("void"))
            .then([settled("void")]);
        assert_eq!(state.status, Status::Voided);
        let outside = state.outside().unwrap();
        assert_eq!((outside.received, outside.returned), (eur(0), eur(0)));
    }

    #[test]
    fn another_currency_and_an_order_without_payment_are_refused() {
        given::<Payment>([requested(1)])
            .when(SettleOutside {
                amount: Money::new(4200, Currency::USD),
                ..settle("refund")
            })
            .then_rejected(Rejection::AmountMismatch {
                expected: eur(4200),
                told: Money::new(4200, Currency::USD),
            });
        given::<Payment>([])
            .when(settle("refund"))
            .then_rejected(Rejection::UnknownPayment);
    }
}
