//! The count of received units is corrected; what is held or sold cannot be taken away.

use event_schema::inventory::{self as event, Event};

use super::{MOST_UNITS_AT_ONCE, MOST_UNITS_RECEIVED, Rejection, State, with_alert};

/// The count of received units was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjust {
    /// Signed change, not 0.
    pub quantity: i64,
    /// Why, in the caller's words.
    pub reason: Option<String>,
}

impl Adjust {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        if !(1..=u64::from(MOST_UNITS_AT_ONCE)).contains(&self.quantity.unsigned_abs()) {
            return Err(Rejection::QuantityOutOfRange);
        }
        let Some(available) = state.available.checked_add_signed(self.quantity) else {
            return Err(Rejection::InsufficientStock {
                available: state.available,
            });
        };
        let received = state.received.checked_add_signed(self.quantity);
        if received.is_none_or(|received| received > MOST_UNITS_RECEIVED) {
            return Err(Rejection::TooManyUnits);
        }
        let adjusted = event::Adjusted {
            quantity: self.quantity,
            reason: self.reason,
        };
        Ok(with_alert(
            state,
            available,
            state.low_stock_threshold,
            adjusted.into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::fixtures::order;
    use crate::inventory::Inventory;
    use crate::inventory::fixtures::{held, ran_low, received, threshold};

    fn adjust(quantity: i64) -> Adjust {
        Adjust {
            quantity,
            reason: Some("counted".into()),
        }
    }

    fn adjusted(quantity: i64) -> Event {
        event::Adjusted {
            quantity,
            reason: Some("counted".into()),
        }
        .into()
    }

    #[test]
    fn broken_units_are_taken_away_and_found_ones_added() {
        let state = given::<Inventory>([received(5)])
            .when(adjust(-2))
            .then([adjusted(-2)]);
        assert_eq!((state.received, state.available), (3, 3));
        let state = given::<Inventory>([received(5)])
            .when(adjust(2))
            .then([adjusted(2)]);
        assert_eq!((state.received, state.available), (7, 7));
    }

    #[test]
    fn the_last_unit_taken_away_is_told() {
        given::<Inventory>([received(5)])
            .when(adjust(-5))
            .then([adjusted(-5), ran_low(0, 0)]);
        given::<Inventory>([received(5), threshold(3)])
            .when(adjust(-2))
            .then([adjusted(-2), ran_low(3, 3)]);
    }

    #[test]
    fn what_is_held_cannot_be_taken_away() {
        given::<Inventory>([received(5), held(order(1), 4)])
            .when(adjust(-2))
            .then_rejected(Rejection::InsufficientStock { available: 1 });
    }

    #[test]
    fn nothing_and_more_than_a_billion_either_way_are_refused() {
        for quantity in [0, 1_000_000_001, -1_000_000_001, i64::MIN, i64::MAX] {
            given::<Inventory>([received(5)])
                .when(adjust(quantity))
                .then_rejected(Rejection::QuantityOutOfRange);
        }
    }

    #[test]
    fn a_stock_counts_only_what_every_reader_holds_exactly() {
        use event_schema::Decider;
        let full = State {
            received: MOST_UNITS_RECEIVED,
            available: 1,
            sold: MOST_UNITS_RECEIVED - 1,
            ..State::default()
        };
        assert_eq!(
            Inventory::decide(&full, adjust(1).into()),
            Err(Rejection::TooManyUnits)
        );
    }
}
