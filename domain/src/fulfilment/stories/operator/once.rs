//! Each command acts once, of two operators one wins, and what was said is recorded within limits.

use event_schema::fulfilment as event;
use event_schema::ids::CommandId;
use uuid::Uuid;

use super::{RETRY, every_stuck_shop, refused_at, rejection, resolve, stuck_step};
use crate::fulfilment::fixtures::{ordered, refunded, refused};
use crate::fulfilment::{
    Action, Decision, Input, OperatorCommand, OperatorRejection, OperatorVerb, Outcome,
    REMEMBERED_COMMANDS, Rejection, Status, Step, Truth,
};

#[test]
fn one_command_id_is_one_command() {
    let mut shop = refused_at(Step::Refund);
    let first = ordered(1, RETRY);
    shop.order_by_operator(first.clone());
    let named = OperatorCommand {
        action: Action::Retry {
            step: Some(Step::Refund),
        },
        ..first.clone()
    };
    assert!(shop.order_by_operator(named).is_empty());
    for other in [
        ordered(1, Action::Close),
        ordered(1, Action::Skip { step: Step::Refund }),
        OperatorCommand {
            reason: "something else".into(),
            ..first.clone()
        },
        OperatorCommand {
            action: Action::Retry {
                step: Some(Step::Void),
            },
            ..first.clone()
        },
    ] {
        assert_eq!(rejection(&shop, other), OperatorRejection::CommandReused);
    }
    shop.answer(refunded());
    assert_eq!(
        shop.order_by_operator(first),
        Decision::default(),
        "a repeat long after says the same"
    );
}

#[test]
fn of_two_operators_one_wins_and_the_other_is_told() {
    for shop in every_stuck_shop() {
        let step = stuck_step(&shop);
        for first in [
            RETRY,
            Action::Skip { step },
            resolve(step, Truth::Ok),
            resolve(step, Truth::Refused),
            Action::Close,
        ] {
            for second in [
                RETRY,
                Action::Skip { step },
                resolve(step, Truth::Ok),
                Action::Close,
            ] {
                let mut shop = shop.clone();
                let Ok(won) = shop.react(Input::Commanded(ordered(1, first.clone()))) else {
                    continue;
                };
                shop.fold(&won);
                let still_stuck = shop.status() == Status::NeedsOperator;
                match shop.react(Input::Commanded(ordered(2, second.clone()))) {
                    Err(Rejection::Operator(
                        OperatorRejection::NotWaiting { .. }
                        | OperatorRejection::AlreadyEnded { .. },
                    )) => assert!(!still_stuck, "{step}: {first:?}, then {second:?}"),
                    // The first one's command came to nothing: a person is needed as before.
                    Ok(_) | Err(Rejection::Operator(OperatorRejection::KnownInside { .. })) => {
                        assert!(still_stuck, "{step}: {first:?}, then {second:?}");
                    }
                    Err(other) => panic!("{step}: {first:?}, then {second:?}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn a_command_is_recorded_with_what_was_said_and_its_text_is_kept_within_a_limit() {
    let mut shop = refused_at(Step::Refund);
    let long = OperatorCommand {
        reason: "ä".repeat(100_000),
        action: Action::Resolve {
            step: Step::Refund,
            truth: Truth::Ok,
            evidence: "re_7".into(),
        },
        ..ordered(1, RETRY)
    };
    let batch = shop.order_by_operator(long);
    assert_eq!(
        batch.saga[0],
        event::OperatorCommanded {
            command: OperatorVerb::Resolve,
            step: Some(Step::Refund),
            outcome: Some(Outcome::Ok),
            evidence: Some("re_7".into()),
            reason: "ä".repeat(500),
            command_id: CommandId(Uuid::from_u128(0xc0_0001)),
        }
        .into()
    );
}

#[test]
fn the_memory_of_commands_is_bounded() {
    let mut shop = refused_at(Step::Refund);
    for n in 0..=REMEMBERED_COMMANDS as u128 {
        shop.order_by_operator(ordered(n, RETRY));
        shop.answer(refused());
    }
    assert_eq!(shop.saga().commands.len(), REMEMBERED_COMMANDS);
    let id = |n: u128| CommandId(Uuid::from_u128(0xc0_0000 + n));
    assert_eq!(shop.saga().command(id(0)), None, "the oldest is forgotten");
    assert!(shop.saga().command(id(1)).is_some());
}
