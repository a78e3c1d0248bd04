//! The deliverer hands the order over.

use event_schema::ids::DelivererId;
use event_schema::order::{self as event, Event};

use super::{Rejection, State};

/// The customer has the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deliver {
    /// Who says so.
    pub deliverer_id: DelivererId,
}

impl Deliver {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        match state {
            State::NotPlaced => Err(Rejection::NotPlaced),
            State::Cancelling(..) | State::Cancelled(..) => Err(Rejection::CalledOff),
            State::PendingPayment(_) | State::Confirmed(_) | State::Ready(..) => {
                Err(Rejection::NotTaken)
            }
            State::Delivering(.., taker) | State::Delivered(.., taker)
                if *taker != self.deliverer_id =>
            {
                Err(Rejection::AlreadyTaken)
            }
            State::Delivered(..) => Ok(vec![]),
            State::Delivering(..) => Ok(vec![event::Delivered {}.into()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::order::Order;
    use crate::order::fixtures::{assigned, confirmed, delivered, deliverer, placed, ready};

    fn deliver(n: u128) -> Deliver {
        Deliver {
            deliverer_id: deliverer(n),
        }
    }

    #[test]
    fn who_took_the_order_delivers_it_once() {
        let on_its_way = [placed(), confirmed(), ready(), assigned(1)];
        let state = given::<Order>(on_its_way.clone())
            .when(deliver(1))
            .then([delivered()]);
        assert!(matches!(state, State::Delivered(..)));
        given::<Order>(on_its_way.into_iter().chain([delivered()]))
            .when(deliver(1))
            .then_nothing();
    }

    #[test]
    fn nobody_else_delivers_it() {
        given::<Order>([placed(), confirmed(), ready(), assigned(1)])
            .when(deliver(2))
            .then_rejected(Rejection::AlreadyTaken);
    }

    #[test]
    fn what_nobody_took_is_not_delivered() {
        given::<Order>([placed(), confirmed(), ready()])
            .when(deliver(1))
            .then_rejected(Rejection::NotTaken);
    }
}
