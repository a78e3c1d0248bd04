//! An order's units are put back: once, whatever is asked again or too late.

use event_schema::ids::OrderId;
use event_schema::inventory::{self as event, Event, ReleaseCause};

use super::{Rejection, State};

/// Put an order's units back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// Whose hold.
    pub order_id: OrderId,
    /// Why.
    pub cause: ReleaseCause,
}

impl Release {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self { order_id, cause } = self;
        match state.holds.get(&order_id) {
            Some(running) => Ok(vec![
                event::Released {
                    order_id,
                    quantity: running.quantity,
                    cause,
                }
                .into(),
            ]),
            None => Ok(vec![]),
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::fixtures::order;
    use crate::inventory::Inventory;
    use crate::inventory::fixtures::{committed, held, received, released};

    fn release() -> Release {
        Release {
            order_id: order(1),
            cause: ReleaseCause::Compensated,
        }
    }

    #[test]
    fn released_units_can_be_sold_again() {
        let state = given::<Inventory>([received(5), held(order(1), 2)])
            .when(release())
            .then([released(order(1), 2)]);
        assert_eq!(
            (state.received, state.available, state.held, state.sold),
            (5, 5, 0, 0)
        );
        assert!(state.holds.is_empty());
    }

    #[test]
    fn an_expired_hold_says_so() {
        let expired = event::Released {
            order_id: order(1),
            quantity: 2,
            cause: ReleaseCause::Expired,
        };
        given::<Inventory>([received(5), held(order(1), 2)])
            .when(Release {
                cause: ReleaseCause::Expired,
                ..release()
            })
            .then([expired.into()]);
    }

    #[test]
    fn a_hold_is_put_back_once() {
        given::<Inventory>([received(5), held(order(1), 2), released(order(1), 2)])
            .when(release())
            .then_nothing();
    }

    #[test]
    fn what_was_never_held_is_not_put_back() {
        given::<Inventory>([received(5)])
            .when(release())
            .then_nothing();
    }

    #[test]
    fn what_was_sold_is_not_put_back() {
        given::<Inventory>([received(5), held(order(1), 2), committed(order(1), 2)])
            .when(release())
            .then_nothing();
    }
}
