//! Everything is put back. An order that has nothing to put back is called off and finished at once.

use event_schema::order::{self as event, CancelReason, Event};

use super::{Rejection, State};

/// It is called off and everything is put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishCancel {
    /// Why; counts only if it was not called off before.
    pub reason: CancelReason,
    /// More for people; counts only if it was not called off before.
    pub detail: Option<String>,
}

impl FinishCancel {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let (reason, detail) = match state {
            State::NotPlaced => return Err(Rejection::NotPlaced),
            State::Confirmed(_)
            | State::Ready(..)
            | State::Delivering(..)
            | State::Delivered(..) => return Err(Rejection::TooLate),
            State::Cancelled(..) => return Ok(vec![]),
            State::Cancelling(_, call_off) => (call_off.reason, call_off.detail.clone()),
            State::PendingPayment(_) => (self.reason, self.detail),
        };
        Ok(vec![event::Cancelled { reason, detail }.into()])
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::order::Order;
    use crate::order::fixtures::{cancelled, cancelling, confirmed, placed};

    fn declined() -> FinishCancel {
        FinishCancel {
            reason: CancelReason::PaymentDeclined,
            detail: None,
        }
    }

    #[test]
    fn a_declined_order_has_nothing_to_put_back() {
        given::<Order>([placed()])
            .when(declined())
            .then([event::Cancelled {
                reason: CancelReason::PaymentDeclined,
                detail: None,
            }
            .into()]);
    }

    #[test]
    fn an_order_ends_with_the_reason_it_was_called_off_for() {
        given::<Order>([placed(), cancelling()])
            .when(declined())
            .then([cancelled()]);
    }

    #[test]
    fn an_order_ends_once() {
        given::<Order>([placed(), cancelling(), cancelled()])
            .when(declined())
            .then_nothing();
    }

    #[test]
    fn a_confirmed_order_is_not_called_off() {
        given::<Order>([placed(), confirmed()])
            .when(declined())
            .then_rejected(Rejection::TooLate);
    }

    #[test]
    fn what_was_not_placed_is_not_called_off() {
        given::<Order>([])
            .when(declined())
            .then_rejected(Rejection::NotPlaced);
    }
}
