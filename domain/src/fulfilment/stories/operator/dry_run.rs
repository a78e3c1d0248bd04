//! What a command would do, said and not done; and what a person is offered.

use super::{
    RETRY, every_stuck_shop, nothing_to_sell, refused_at, resolve, stuck_step, unknown_at,
};
use crate::fixtures::order as order_id;
use crate::fulfilment::fixtures::{Shop, ordered};
use crate::fulfilment::stories::unsettled::{OUTSIDE, waiting_at};
use crate::fulfilment::{Action, Input, Step, Truth, World, dry_run, react, you_may};

#[test]
fn a_dry_run_says_what_the_command_would_do_and_does_nothing() {
    for shop in every_stuck_shop() {
        let step = stuck_step(&shop);
        for action in [
            RETRY,
            Action::Skip { step },
            resolve(step, Truth::Ok),
            resolve(step, Truth::Refused),
            Action::Abort,
            Action::Close,
        ] {
            let command = ordered(1, action);
            let world = world(&shop);
            let dry = dry_run(&world, command.clone(), shop.now(), &shop.policy);
            let real = react(
                &world,
                Input::Commanded(command.clone()),
                shop.now(),
                &shop.policy,
            );
            match (dry, real) {
                (Ok(dry), Ok(real)) => {
                    assert_eq!(dry.decision, real);
                    assert!(!dry.would.is_empty(), "{command:?}");
                }
                (dry, real) => assert_eq!(dry.map(|dry| dry.decision), real),
            }
        }
    }
}

fn world(shop: &Shop) -> World<'_> {
    World {
        order_id: order_id(1),
        saga: &shop.saga,
        order: &shop.order,
        payment: &shop.payment,
        stock: &shop.stock,
    }
}

#[track_caller]
fn would(shop: &Shop, action: Action) -> Vec<String> {
    let command = ordered(1, action);
    dry_run(&world(shop), command, shop.now(), &shop.policy)
        .unwrap()
        .would
}

#[test]
fn what_a_command_would_do_is_said_in_sentences() {
    let shop = refused_at(Step::Refund);
    assert_eq!(
        would(&shop, Action::Skip { step: Step::Refund }),
        [
            "mark refund as settled outside, by your word",
            "leave the provider's books at 42.00 EUR captured and 0.00 EUR refunded, with 42.00 EUR settled by you",
            "end the order as cancelled",
            "end the saga as closed, with nothing left due",
        ]
    );
    assert_eq!(
        would(&shop, Action::Close),
        ["end the saga as closed, with refund left due and nobody but people to see to it"]
    );
    let effect = shop.effect(Step::Refund);
    assert_eq!(
        would(&shop, RETRY),
        [format!(
            "ask the provider for refund under the effect id {effect}, after looking it up, and go on with the answer"
        )]
    );
    assert_eq!(
        would(&shop, resolve(Step::Refund, Truth::Ok)),
        [
            "record that refund is done, by your word",
            "book 42.00 EUR as given back (re_7)",
            "end the order as cancelled",
            "end the saga as compensated",
        ]
    );
    assert_eq!(
        would(&nothing_to_sell(), Action::Close),
        [
            "turn back for good (operator_aborted), with release and refund to do",
            "put 1 of kettle back",
            "call the order off",
            "end the saga as closed, with refund left due and nobody but people to see to it",
        ]
    );
    assert_eq!(
        would(
            &unknown_at(Step::Authorise),
            Action::Skip {
                step: Step::Authorise
            }
        ),
        [
            "mark authorise as settled outside, by your word",
            "leave the provider's books at 0.00 EUR captured and 0.00 EUR refunded, with 42.00 EUR settled by you",
            "hold 2 of mug",
            "sell 2 of mug",
            "hold 1 of kettle",
            "sell 1 of kettle",
            "confirm the order",
            "end the saga as closed, with nothing left due",
        ]
    );
    let mut done = refused_at(Step::Refund);
    done.order_by_operator(ordered(1, RETRY));
    assert_eq!(
        would(&done, RETRY),
        ["change nothing: this command was carried out before"]
    );
}

#[test]
fn what_a_person_may_do_is_what_is_accepted() {
    let mut shops = every_stuck_shop();
    shops.extend(OUTSIDE.map(waiting_at));
    shops.push(Shop::at_checkout());
    let mut over = refused_at(Step::Void);
    over.order_by_operator(ordered(9, Action::Close));
    shops.push(over);
    for shop in shops {
        let stuck = shop.saga().stuck.as_ref().map(|stuck| stuck.step);
        let step = stuck.unwrap_or(Step::Refund);
        let offered: Vec<_> = you_may(&shop.saga)
            .into_iter()
            .map(|choice| {
                let says = |outcome| choice.would.starts_with(&format!("with outcome {outcome}"));
                (choice.command, says("ok"), says("refused"))
            })
            .collect();
        for (action, says_ok, says_refused) in [
            (RETRY, false, false),
            (Action::Skip { step }, false, false),
            (resolve(step, Truth::Ok), true, false),
            (resolve(step, Truth::Refused), false, true),
            (Action::Abort, false, false),
            (Action::Close, false, false),
        ] {
            let choice = (action.verb(), says_ok, says_refused);
            let accepted = shop
                .react(Input::Commanded(ordered(1, action.clone())))
                .is_ok();
            assert_eq!(
                offered.contains(&choice),
                accepted,
                "{step}, {action:?}: {:?}",
                shop.status()
            );
        }
    }
}
