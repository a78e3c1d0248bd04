//! An order is confirmed when its money is taken and its units are sold; asked for by the saga, in that same batch.

use event_schema::order::{self as event, Event};

use super::{Rejection, State};

/// It is paid and in stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirm;

impl Confirm {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        match state {
            State::NotPlaced => Err(Rejection::NotPlaced),
            State::Cancelling(..) | State::Cancelled(..) => Err(Rejection::CalledOff),
            State::Confirmed(_)
            | State::Ready(..)
            | State::Delivering(..)
            | State::Delivered(..) => Ok(vec![]),
            State::PendingPayment(_) => Ok(vec![event::Confirmed {}.into()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::order::Order;
    use crate::order::fixtures::{cancelled, cancelling, confirmed, placed};

    #[test]
    fn a_placed_order_is_confirmed() {
        let state = given::<Order>([placed()]).when(Confirm).then([confirmed()]);
        assert!(matches!(state, State::Confirmed(_)));
    }

    #[test]
    fn confirming_again_changes_nothing() {
        given::<Order>([placed(), confirmed()])
            .when(Confirm)
            .then_nothing();
    }

    #[test]
    fn an_order_that_is_called_off_is_not_confirmed() {
        given::<Order>([placed(), cancelling()])
            .when(Confirm)
            .then_rejected(Rejection::CalledOff);
        given::<Order>([placed(), cancelled()])
            .when(Confirm)
            .then_rejected(Rejection::CalledOff);
    }

    #[test]
    fn what_was_not_placed_is_not_confirmed() {
        given::<Order>([])
            .when(Confirm)
            .then_rejected(Rejection::NotPlaced);
    }
}
