//! Units arrive. Additive: that one delivery counts once is guarded by the command's `done` record.

use event_schema::inventory::{self as event, Event};

use super::{MOST_UNITS_AT_ONCE, MOST_UNITS_RECEIVED, Rejection, State};

/// Units arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receive {
    /// How many.
    pub quantity: u32,
    /// Why, in the caller's words.
    pub reason: Option<String>,
}

impl Receive {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        if !(1..=MOST_UNITS_AT_ONCE).contains(&self.quantity) {
            return Err(Rejection::QuantityOutOfRange);
        }
        let received = state.received.checked_add(u64::from(self.quantity));
        if received.is_none_or(|received| received > MOST_UNITS_RECEIVED) {
            return Err(Rejection::TooManyUnits);
        }
        Ok(vec![
            event::Received {
                quantity: self.quantity,
                reason: self.reason,
            }
            .into(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use event_schema::Decider;
    use event_schema::testing::given;

    use super::*;
    use crate::inventory::Inventory;
    use crate::inventory::fixtures::received;

    fn receive(quantity: u32) -> Receive {
        Receive {
            quantity,
            reason: None,
        }
    }

    #[test]
    fn what_arrives_can_be_sold() {
        let state = given::<Inventory>([received(3)])
            .when(receive(2))
            .then([received(2)]);
        assert_eq!(
            (state.received, state.available, state.held, state.sold),
            (5, 5, 0, 0)
        );
    }

    #[test]
    fn nothing_and_more_than_a_billion_at_once_are_refused() {
        given::<Inventory>([])
            .when(receive(0))
            .then_rejected(Rejection::QuantityOutOfRange);
        given::<Inventory>([])
            .when(receive(1_000_000_000))
            .then([received(1_000_000_000)]);
        given::<Inventory>([])
            .when(receive(1_000_000_001))
            .then_rejected(Rejection::QuantityOutOfRange);
    }

    #[test]
    fn a_stock_counts_only_what_every_reader_holds_exactly() {
        let full = State {
            received: MOST_UNITS_RECEIVED,
            available: MOST_UNITS_RECEIVED,
            ..State::default()
        };
        assert_eq!(
            Inventory::decide(&full, receive(1).into()),
            Err(Rejection::TooManyUnits)
        );
    }
}
