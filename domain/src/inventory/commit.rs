//! An order's held units are sold: once, and never after they were put back.

use event_schema::ids::OrderId;
use event_schema::inventory::{self as event, Event};

use super::{Ended, Rejection, State};

/// An order's units are sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Whose hold.
    pub order_id: OrderId,
}

impl Commit {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self { order_id } = self;
        if let Some(running) = state.holds.get(&order_id) {
            return Ok(vec![
                event::Committed {
                    order_id,
                    quantity: running.quantity,
                }
                .into(),
            ]);
        }
        match state.ended(order_id) {
            Some(Ended::Committed) => Ok(vec![]),
            Some(Ended::Released) | None => Err(Rejection::HoldGone),
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

    fn commit() -> Commit {
        Commit { order_id: order(1) }
    }

    #[test]
    fn held_units_are_sold() {
        let state = given::<Inventory>([received(5), held(order(1), 2)])
            .when(commit())
            .then([committed(order(1), 2)]);
        assert_eq!(
            (state.received, state.available, state.held, state.sold),
            (5, 3, 0, 2)
        );
    }

    #[test]
    fn a_hold_is_sold_once() {
        given::<Inventory>([received(5), held(order(1), 2), committed(order(1), 2)])
            .when(commit())
            .then_nothing();
    }

    #[test]
    fn what_was_put_back_is_not_sold() {
        given::<Inventory>([received(5), held(order(1), 2), released(order(1), 2)])
            .when(commit())
            .then_rejected(Rejection::HoldGone);
    }

    #[test]
    fn what_was_never_held_is_not_sold() {
        given::<Inventory>([received(5)])
            .when(commit())
            .then_rejected(Rejection::HoldGone);
    }
}
