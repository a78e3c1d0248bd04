//! Whatever is asked of an order in whatever order, its life goes one way: nobody but the taker brings it, nothing that
//! is called off goes on, and nothing that is confirmed is called off.

use event_schema::Decider;
use event_schema::order::{CancelReason, Event};
use proptest::prelude::*;

use super::fixtures::{deliverer, two_mugs_and_a_kettle};
use super::{
    Assign, BeginCancel, Command, Confirm, Deliver, FinishCancel, MakeReady, Order, Place, State,
};

fn any_command() -> impl Strategy<Value = Command> {
    let reason = prop_oneof![
        Just(CancelReason::OutOfStock),
        Just(CancelReason::CustomerCancelled)
    ];
    let who = (0..3u128).prop_map(deliverer);
    let where_to = prop_oneof![Just("Corner Street 1"), Just("2 Back Yard"), Just(" ")];
    prop_oneof![
        1 => Just(Place::from(two_mugs_and_a_kettle()).into()),
        3 => Just(Confirm.into()),
        3 => where_to.prop_map(|address| MakeReady {
            pickup_address: address.to_owned()
        }
        .into()),
        3 => who.clone().prop_map(|deliverer_id| Assign { deliverer_id }.into()),
        3 => who.prop_map(|deliverer_id| Deliver { deliverer_id }.into()),
        1 => reason.clone().prop_map(|reason| BeginCancel {
            reason,
            detail: None
        }
        .into()),
        1 => reason.prop_map(|reason| FinishCancel {
            reason,
            detail: None
        }
        .into()),
    ]
}

/// How far an order has come; a life only goes up, and the two last are ends of different ways.
fn stage(state: &State) -> u8 {
    match state {
        State::NotPlaced => 0,
        State::PendingPayment(_) => 1,
        State::Confirmed(_) => 2,
        State::Ready(..) => 3,
        State::Delivering(..) => 4,
        State::Delivered(..) => 5,
        State::Cancelling(..) => 6,
        State::Cancelled(..) => 7,
    }
}

proptest! {
    #[test]
    fn an_orders_life_goes_one_way(commands in prop::collection::vec(any_command(), 0..40)) {
        let mut state = Order::initial();
        for command in commands {
            let (before, taker, pickup) = (stage(&state), state.deliverer(), state.pickup().cloned());
            let events = Order::decide(&state, command.clone()).unwrap_or_default();
            prop_assert!(events.len() <= 1, "one fact at a time");
            for event in &events {
                if let (Event::Assigned(e), Command::Assign(asked)) = (event, &command) {
                    prop_assert_eq!(e.deliverer_id, asked.deliverer_id);
                }
                if let (Event::Delivered(_), Command::Deliver(asked)) = (event, &command) {
                    prop_assert_eq!(taker, Some(asked.deliverer_id), "only the taker delivers");
                }
                state = Order::evolve(state, event);
            }
            let after = stage(&state);
            prop_assert_eq!(after > before, !events.is_empty(), "each fact is a step forward");
            let on_the_way = 2..=5;
            if on_the_way.contains(&before) && !events.is_empty() {
                prop_assert_eq!(after, before + 1, "no stage is left out, and there is no way back");
            }
            if taker.is_some() {
                prop_assert_eq!(state.deliverer(), taker, "who took it keeps it");
            }
            if pickup.is_some() {
                prop_assert_eq!(state.pickup(), pickup.as_ref(), "the first address counts");
            }
            // Asked again at once: nothing more happens.
            prop_assert_eq!(Order::decide(&state, command).unwrap_or_default(), vec![]);
        }
    }
}
