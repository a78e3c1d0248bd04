//! A deliverer takes a prepared order; of several who try, one does.

use event_schema::ids::DelivererId;
use event_schema::order::{self as event, Event};

use super::{Rejection, State};

/// Somebody takes the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assign {
    /// Who brings it.
    pub deliverer_id: DelivererId,
}

impl Assign {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self { deliverer_id } = self;
        match state {
            State::NotPlaced => Err(Rejection::NotPlaced),
            State::PendingPayment(_) | State::Confirmed(_) => Err(Rejection::NotReady),
            State::Cancelling(..) | State::Cancelled(..) => Err(Rejection::CalledOff),
            State::Delivering(.., taker) | State::Delivered(.., taker)
                if *taker == deliverer_id =>
            {
                Ok(vec![])
            }
            State::Delivering(..) | State::Delivered(..) => Err(Rejection::AlreadyTaken),
            State::Ready(..) => Ok(vec![event::Assigned { deliverer_id }.into()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::order::Order;
    use crate::order::fixtures::{assigned, cancelled, confirmed, deliverer, placed, ready};

    fn assign(n: u128) -> Assign {
        Assign {
            deliverer_id: deliverer(n),
        }
    }

    #[test]
    fn a_prepared_order_is_taken_by_one() {
        let state = given::<Order>([placed(), confirmed(), ready()])
            .when(assign(1))
            .then([assigned(1)]);
        assert_eq!(state.deliverer(), Some(deliverer(1)));
        given::<Order>([placed(), confirmed(), ready(), assigned(1)])
            .when(assign(2))
            .then_rejected(Rejection::AlreadyTaken);
    }

    #[test]
    fn taking_it_again_changes_nothing() {
        given::<Order>([placed(), confirmed(), ready(), assigned(1)])
            .when(assign(1))
            .then_nothing();
    }

    #[test]
    fn what_is_not_prepared_is_not_taken() {
        given::<Order>([placed(), confirmed()])
            .when(assign(1))
            .then_rejected(Rejection::NotReady);
        given::<Order>([placed(), cancelled()])
            .when(assign(1))
            .then_rejected(Rejection::CalledOff);
    }
}
