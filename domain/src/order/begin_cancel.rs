//! An order is called off while something is left to put back. The first reason stays.

use event_schema::order::{self as event, CancelReason, Event};

use super::{Rejection, State};

/// It is called off; what was done is being put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginCancel {
    /// Why.
    pub reason: CancelReason,
    /// More for people, such as the product that was sold out.
    pub detail: Option<String>,
}

impl BeginCancel {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        match state {
            State::NotPlaced => Err(Rejection::NotPlaced),
            State::Confirmed(_)
            | State::Ready(..)
            | State::Delivering(..)
            | State::Delivered(..) => Err(Rejection::TooLate),
            State::Cancelling(..) | State::Cancelled(..) => Ok(vec![]),
            State::PendingPayment(_) => Ok(vec![
                event::Cancelling {
                    reason: self.reason,
                    detail: self.detail,
                }
                .into(),
            ]),
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::order::Order;
    use crate::order::fixtures::{cancelled, cancelling, confirmed, placed};

    fn begin() -> BeginCancel {
        BeginCancel {
            reason: CancelReason::OutOfStock,
            detail: Some("kettle".into()),
        }
    }

    #[test]
    fn a_placed_order_is_called_off_with_its_reason() {
        let state = given::<Order>([placed()])
            .when(begin())
            .then([cancelling()]);
        assert_eq!(state.call_off().unwrap().reason, CancelReason::OutOfStock);
    }

    #[test]
    fn an_order_is_called_off_once_and_the_first_reason_stays() {
        let other = BeginCancel {
            reason: CancelReason::CustomerCancelled,
            detail: None,
        };
        given::<Order>([placed(), cancelling()])
            .when(other.clone())
            .then_nothing();
        given::<Order>([placed(), cancelling(), cancelled()])
            .when(other)
            .then_nothing();
    }

    #[test]
    fn a_confirmed_order_is_not_called_off() {
        given::<Order>([placed(), confirmed()])
            .when(begin())
            .then_rejected(Rejection::TooLate);
    }

    #[test]
    fn what_was_not_placed_is_not_called_off() {
        given::<Order>([])
            .when(begin())
            .then_rejected(Rejection::NotPlaced);
    }
}
