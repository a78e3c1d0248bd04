//! What counts as low is set; a stock that is low by the new measure is told at once.

use event_schema::inventory::{self as event, Event};

use super::{Rejection, State, with_alert};

/// From now on the stock counts as low at or below this many available units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetThreshold {
    /// 0: never low while anything is available.
    pub low_stock_threshold: u32,
}

impl SetThreshold {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self {
            low_stock_threshold,
        } = self;
        if state.low_stock_threshold == low_stock_threshold {
            return Ok(vec![]);
        }
        let set = event::ThresholdSet {
            low_stock_threshold,
        };
        Ok(with_alert(
            state,
            state.available,
            low_stock_threshold,
            set.into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::inventory::Inventory;
    use crate::inventory::fixtures::{ran_low, received, threshold};

    fn set(low_stock_threshold: u32) -> SetThreshold {
        SetThreshold {
            low_stock_threshold,
        }
    }

    #[test]
    fn a_threshold_below_what_is_left_is_just_set() {
        given::<Inventory>([received(5)])
            .when(set(4))
            .then([threshold(4)]);
    }

    #[test]
    fn a_stock_that_is_low_by_the_new_measure_is_told() {
        let state = given::<Inventory>([received(5)])
            .when(set(5))
            .then([threshold(5), ran_low(5, 5)]);
        assert!(state.low());
    }

    #[test]
    fn a_stock_that_was_low_already_is_not_told_again() {
        given::<Inventory>([received(5), threshold(5)])
            .when(set(9))
            .then([threshold(9)]);
    }

    #[test]
    fn the_same_threshold_again_changes_nothing() {
        given::<Inventory>([threshold(5)])
            .when(set(5))
            .then_nothing();
        given::<Inventory>([]).when(set(0)).then_nothing();
    }
}
