//! The partner has prepared a confirmed order. Telling it twice changes nothing; the first address counts.

use event_schema::order::{self as event, Event};

use super::{Rejection, State};

/// The order is prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeReady {
    /// Where it is picked up.
    pub pickup_address: String,
}

impl MakeReady {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self { pickup_address } = self;
        if pickup_address.trim().is_empty() {
            return Err(Rejection::PickupAddressMissing);
        }
        match state {
            State::NotPlaced => Err(Rejection::NotPlaced),
            State::PendingPayment(_) => Err(Rejection::NotConfirmed),
            State::Cancelling(..) | State::Cancelled(..) => Err(Rejection::CalledOff),
            State::Ready(..) | State::Delivering(..) | State::Delivered(..) => Ok(vec![]),
            State::Confirmed(_) => Ok(vec![event::Ready { pickup_address }.into()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::order::Order;
    use crate::order::fixtures::{assigned, cancelled, confirmed, placed, ready};

    fn make_ready() -> MakeReady {
        MakeReady {
            pickup_address: "Corner Street 1".into(),
        }
    }

    #[test]
    fn a_confirmed_order_is_prepared() {
        let state = given::<Order>([placed(), confirmed()])
            .when(make_ready())
            .then([ready()]);
        assert!(matches!(state, State::Ready(..)));
    }

    #[test]
    fn telling_it_again_changes_nothing_even_when_it_is_on_its_way() {
        given::<Order>([placed(), confirmed(), ready()])
            .when(make_ready())
            .then_nothing();
        given::<Order>([placed(), confirmed(), ready(), assigned(1)])
            .when(make_ready())
            .then_nothing();
    }

    #[test]
    fn an_order_that_is_not_paid_or_called_off_is_not_prepared() {
        given::<Order>([placed()])
            .when(make_ready())
            .then_rejected(Rejection::NotConfirmed);
        given::<Order>([placed(), cancelled()])
            .when(make_ready())
            .then_rejected(Rejection::CalledOff);
        given::<Order>([])
            .when(make_ready())
            .then_rejected(Rejection::NotPlaced);
    }

    #[test]
    fn a_deliverer_must_know_where_to_go() {
        let nowhere = MakeReady {
            pickup_address: " ".into(),
        };
        given::<Order>([placed(), confirmed()])
            .when(nowhere)
            .then_rejected(Rejection::PickupAddressMissing);
    }
}
