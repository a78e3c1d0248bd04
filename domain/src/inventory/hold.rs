//! Units are put aside for an order, once in its life. All lines or none is decided by the saga, over all products.

use event_schema::Timestamp;
use event_schema::ids::OrderId;
use event_schema::inventory::{self as event, Event};

use super::{MOST_UNITS_AT_ONCE, Rejection, State, with_alert};

/// Put units aside for an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// For which order.
    pub order_id: OrderId,
    /// How many.
    pub quantity: u32,
    /// When the hold ends by itself, unless the order's money is being taken.
    pub expires_at: Timestamp,
}

impl Hold {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self {
            order_id,
            quantity,
            expires_at,
        } = self;
        if !(1..=MOST_UNITS_AT_ONCE).contains(&quantity) {
            return Err(Rejection::QuantityOutOfRange);
        }
        // A hold that comes after its own end is late or repeated: nobody would ever put it back.
        if state.ended(order_id).is_some() {
            return Err(Rejection::HoldGone);
        }
        if let Some(running) = state.holds.get(&order_id) {
            return if running.quantity == quantity {
                Ok(vec![])
            } else {
                Err(Rejection::HeldDifferently {
                    held: running.quantity,
                })
            };
        }
        let Some(available) = state.available.checked_sub(u64::from(quantity)) else {
            return Err(Rejection::OutOfStock {
                available: state.available,
            });
        };
        let held = event::Held {
            order_id,
            quantity,
            expires_at,
        };
        Ok(with_alert(
            state,
            available,
            state.low_stock_threshold,
            held.into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::fixtures::{at, order};
    use crate::inventory::fixtures::{committed, held, ran_low, received, released, threshold};
    use crate::inventory::{Inventory, REMEMBERED_ENDINGS};

    fn hold(n: u128, quantity: u32) -> Hold {
        Hold {
            order_id: order(n),
            quantity,
            expires_at: at(0),
        }
    }

    #[test]
    fn held_units_cannot_be_sold_to_others() {
        let state = given::<Inventory>([received(5)])
            .when(hold(1, 2))
            .then([held(order(1), 2)]);
        assert_eq!(
            (state.received, state.available, state.held, state.sold),
            (5, 3, 2, 0)
        );
        assert_eq!(state.holds[&order(1)].quantity, 2);
    }

    #[test]
    fn the_hold_that_reaches_the_threshold_tells_it_and_the_next_one_does_not() {
        let past = [received(5), threshold(3)];
        given::<Inventory>(past.clone())
            .when(hold(1, 1))
            .then([held(order(1), 1)]);
        given::<Inventory>(past.clone())
            .when(hold(1, 2))
            .then([held(order(1), 2), ran_low(3, 3)]);
        let low = past.into_iter().chain([held(order(1), 2), ran_low(3, 3)]);
        given::<Inventory>(low)
            .when(hold(2, 1))
            .then([held(order(2), 1)]);
    }

    #[test]
    fn the_alert_is_armed_again_once_the_stock_has_risen_above_the_threshold() {
        let past = [
            received(5),
            threshold(3),
            held(order(1), 2),
            ran_low(3, 3),
            received(1),
        ];
        given::<Inventory>(past)
            .when(hold(2, 1))
            .then([held(order(2), 1), ran_low(3, 3)]);
    }

    #[test]
    fn nobody_holds_more_than_there_is() {
        given::<Inventory>([received(5), held(order(1), 4)])
            .when(hold(2, 2))
            .then_rejected(Rejection::OutOfStock { available: 1 });
        given::<Inventory>([])
            .when(hold(1, 1))
            .then_rejected(Rejection::OutOfStock { available: 0 });
    }

    #[test]
    fn the_same_hold_again_changes_nothing_even_when_nothing_is_left() {
        given::<Inventory>([received(2), held(order(1), 2)])
            .when(hold(1, 2))
            .then_nothing();
    }

    #[test]
    fn an_order_holds_one_quantity() {
        given::<Inventory>([received(5), held(order(1), 2)])
            .when(hold(1, 3))
            .then_rejected(Rejection::HeldDifferently { held: 2 });
    }

    #[test]
    fn a_late_hold_of_an_order_whose_hold_has_ended_is_refused_for_good() {
        for ending in [released(order(1), 2), committed(order(1), 2)] {
            given::<Inventory>([received(5), held(order(1), 2), ending])
                .when(hold(1, 2))
                .then_rejected(Rejection::HoldGone);
        }
    }

    #[test]
    fn an_empty_hold_is_refused() {
        given::<Inventory>([received(5)])
            .when(hold(1, 0))
            .then_rejected(Rejection::QuantityOutOfRange);
    }

    #[test]
    fn the_memory_of_ended_holds_is_bounded() {
        let orders = 1..=(REMEMBERED_ENDINGS as u128 + 1);
        let past = orders.flat_map(|n| [held(order(n), 1), released(order(n), 1)]);
        let state = given::<Inventory>([received(1)].into_iter().chain(past)).then_state();
        assert_eq!(
            state.ended(order(1)),
            None,
            "the oldest ending is forgotten"
        );
        assert!(state.ended(order(2)).is_some());
    }
}
