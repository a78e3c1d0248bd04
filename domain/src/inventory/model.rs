//! Whatever is asked of a stock in whatever order, it balances, nothing is negative, and each hold ends once.

use std::collections::BTreeMap;

use event_schema::Decider;
use event_schema::ids::OrderId;
use event_schema::inventory::{Event, ReleaseCause};
use proptest::prelude::*;

use super::{Adjust, Command, Commit, Hold, Inventory, Receive, Release, SetThreshold};
use crate::fixtures::{at, order};

fn any_command() -> impl Strategy<Value = Command> {
    let quantity = prop_oneof![0..6u32, Just(1_000_000_000), any::<u32>()];
    let signed = prop_oneof![-6..6i64, any::<i64>()];
    let orders = (0..4u128).prop_map(order);
    let cause = prop_oneof![Just(ReleaseCause::Compensated), Just(ReleaseCause::Expired)];
    prop_oneof![
        quantity.clone().prop_map(|quantity| Receive {
            quantity,
            reason: None
        }
        .into()),
        signed.prop_map(|quantity| Adjust {
            quantity,
            reason: None
        }
        .into()),
        (0..6u32).prop_map(|low_stock_threshold| SetThreshold {
            low_stock_threshold
        }
        .into()),
        (orders.clone(), quantity).prop_map(|(order_id, quantity)| Hold {
            order_id,
            quantity,
            expires_at: at(0)
        }
        .into()),
        (orders.clone(), cause).prop_map(|(order_id, cause)| Release { order_id, cause }.into()),
        orders.prop_map(|order_id| Commit { order_id }.into()),
    ]
}

proptest! {
    #[test]
    fn a_stock_balances_after_every_event_and_each_hold_ends_once(commands in prop::collection::vec(any_command(), 0..60)) {
        let mut state = Inventory::initial();
        let mut endings = BTreeMap::<OrderId, u32>::new();
        let mut holds = BTreeMap::<OrderId, u32>::new();
        for command in commands {
            let was_low = state.low();
            let events = Inventory::decide(&state, command.clone()).unwrap_or_default();
            let alerts = events.iter().filter(|e| matches!(e, Event::RanLow(_))).count();
            for event in &events {
                state = Inventory::evolve(state, event);
                match event {
                    Event::Held(e) => *holds.entry(e.order_id).or_default() += 1,
                    Event::Released(e) => *endings.entry(e.order_id).or_default() += 1,
                    Event::Committed(e) => *endings.entry(e.order_id).or_default() += 1,
                    Event::Received(_) | Event::Adjusted(_) | Event::ThresholdSet(_) | Event::RanLow(_) => {}
                }
                prop_assert_eq!(Some(state.received), [state.available, state.held, state.sold]
                    .into_iter()
                    .try_fold(0u64, u64::checked_add));
                prop_assert_eq!(state.held, state.holds.values().map(|h| u64::from(h.quantity)).sum::<u64>());
            }
            prop_assert_eq!(alerts == 1, !was_low && state.low(), "told once, at the crossing");
            for (order, held) in &holds {
                let ended = endings.get(order).copied().unwrap_or(0);
                let running = u32::from(state.holds.contains_key(order));
                prop_assert_eq!(*held, 1, "an order holds once in its life");
                prop_assert_eq!(ended + running, 1, "a hold runs or has ended once");
            }
            // Asked again at once: nothing more happens, unless the command adds by nature.
            match command {
                Command::Receive(_) | Command::Adjust(_) => {}
                again @ (Command::SetThreshold(_) | Command::Hold(_) | Command::Release(_) | Command::Commit(_)) => {
                    prop_assert_eq!(Inventory::decide(&state, again).unwrap_or_default(), vec![]);
                }
            }
        }
    }
}
