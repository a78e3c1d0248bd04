//! Operators' commands: what each does where it fits, how it is refused where it does not, and that each acts once.

use std::time::Duration;

use event_schema::fulfilment as event;
use event_schema::ids::CommandId;
use event_schema::inventory as stock_events;
use event_schema::order::CancelReason;
use uuid::Uuid;

use super::unsettled::{OUTSIDE, exhaust, success, waiting_at};
use crate::fixtures::{eur, kettle, mug, order as order_id};
use crate::fulfilment::fixtures::{
    Shop, already_captured, authorised, captured, later, ordered, refunded, refused, types, unknown,
};
use crate::fulfilment::{
    Action, Answer, Cause, Decision, Event, Input, OperatorCommand, OperatorRejection,
    OperatorVerb, Outcome, Phase, Quarantine, REMEMBERED_COMMANDS, Rejection, Stage, Status, Step,
    StepState, Truth, World, dry_run, react, view, you_may,
};
use crate::{order, payment};

const RETRY: Action = Action::Retry { step: None };

fn resolve(step: Step, truth: Truth) -> Action {
    Action::Resolve {
        step,
        truth,
        evidence: "pi_7 and re_7 in the dashboard".into(),
    }
}

/// A shop that waits for a person because nobody knows what became of a step outside.
fn unknown_at(step: Step) -> Shop {
    let mut shop = waiting_at(step);
    exhaust(&mut shop, &unknown());
    shop
}

/// A shop whose money cannot be let go, or not be given back.
fn refused_at(step: Step) -> Shop {
    let mut shop = waiting_at(step);
    shop.answer(refused());
    assert_eq!(shop.status(), Status::NeedsOperator);
    shop
}

/// A shop whose money is taken for mugs that somebody else has put back.
pub(super) fn nothing_to_sell() -> Shop {
    let mut shop = waiting_at(Step::Capture);
    let released = stock_events::Released {
        order_id: order_id(1),
        quantity: 2,
        cause: stock_events::ReleaseCause::Expired,
    };
    shop.foreign(mug(), released.into());
    shop.answer(captured());
    assert_eq!(shop.saga().stuck.as_ref().unwrap().step, Step::Commit);
    shop
}

fn every_stuck_shop() -> Vec<Shop> {
    let mut shops: Vec<Shop> = OUTSIDE.into_iter().map(unknown_at).collect();
    shops.extend([Step::Void, Step::Refund].map(refused_at));
    shops.push(nothing_to_sell());
    shops
}

fn stuck_step(shop: &Shop) -> Step {
    shop.saga().stuck.as_ref().unwrap().step
}

#[track_caller]
fn rejection(shop: &Shop, command: OperatorCommand) -> OperatorRejection {
    match shop.react(Input::Commanded(command.clone())) {
        Err(Rejection::Operator(rejection)) => rejection,
        other => panic!("{command:?}: {other:?}"),
    }
}

#[track_caller]
fn assert_closed(shop: &Shop, left_due: &[Step]) {
    let Stage::Closed(ending) = &shop.saga().stage else {
        panic!("it is not closed: {:?}", shop.saga().stage)
    };
    assert_eq!(ending.left_due, left_due);
    assert_eq!(ending.reason, "the customer called");
    assert_eq!(shop.status(), Status::Closed);
    assert_eq!((shop.saga.deadline(), shop.saga.pending()), (None, None));
}

#[test]
fn a_refused_refund_is_tried_again_under_the_same_effect_id_and_then_goes_through() {
    let mut shop = refused_at(Step::Refund);
    let effect = shop.effect(Step::Refund);
    let batch = shop.order_by_operator(ordered(1, RETRY));
    assert_eq!(
        types(&batch),
        ["fulfilment.operator_commanded", "fulfilment.intended"]
    );
    let open = shop.saga.pending().unwrap().clone();
    assert_eq!(
        (open.step, open.effect_id, open.attempt, open.budget_used_ms),
        (Step::Refund, effect, 2, 0)
    );
    assert_eq!(
        shop.saga().step(Step::Refund).unwrap().refusals,
        1,
        "whoever calls knows that the key has a refusal behind it"
    );
    assert_eq!(shop.status(), Status::Unwinding);
    assert_eq!(shop.payment.status, payment::Status::RefundPending);
    shop.answer(refunded());
    assert_eq!(
        (shop.status(), shop.payment.status),
        (Status::Compensated, payment::Status::Refunded)
    );
}

#[test]
fn what_is_tried_again_has_a_fresh_budget_and_goes_on_counting_its_tries() {
    for step in OUTSIDE {
        let mut shop = unknown_at(step);
        let effect = shop.effect(step);
        let tries = shop.saga().stuck.clone().unwrap().open.unwrap().attempt;
        let first_deadline = shop
            .saga()
            .stuck
            .clone()
            .unwrap()
            .open
            .unwrap()
            .intent_deadline;
        shop.order_by_operator(ordered(1, RETRY));
        let open = shop.saga.pending().unwrap();
        assert_eq!(
            (open.effect_id, open.attempt, open.budget_used_ms),
            (effect, tries + 1, 0),
            "{step}"
        );
        assert_eq!(
            open.intent_deadline, first_deadline,
            "{step}: the key is as old as its first call"
        );
        let took = exhaust(&mut shop, &unknown());
        let budget = shop.policy.unknown_budget;
        assert!(
            budget <= took && took <= budget + Duration::from_secs(60),
            "{step}: {took:?}"
        );
        shop.order_by_operator(ordered(2, RETRY));
        shop.answer(success(step));
        assert_eq!(
            shop.saga().step(step).unwrap().outcome,
            Some(Outcome::Ok),
            "{step}"
        );
    }
}

#[test]
fn a_call_that_was_opened_too_often_may_be_opened_as_often_again() {
    let never = || Answer::NeverHappened {
        detail: "500 replayed".into(),
    };
    let mut shop = Shop::open();
    for _ in 0..5 {
        shop.answer(never());
    }
    assert_eq!(shop.status(), Status::NeedsOperator);
    shop.order_by_operator(ordered(1, RETRY));
    assert_eq!(shop.saga.pending().unwrap().opening, 5);
    for _ in 0..4 {
        shop.answer(never());
    }
    assert_eq!(
        (shop.status(), shop.saga.pending().unwrap().opening),
        (Status::Running, 9)
    );
    shop.answer(never());
    assert_eq!(shop.status(), Status::NeedsOperator);
}

#[test]
fn selling_is_tried_again_and_a_person_is_told_again_while_it_is_in_vain() {
    let mut shop = nothing_to_sell();
    let batch = shop.order_by_operator(ordered(
        1,
        Action::Retry {
            step: Some(Step::Commit),
        },
    ));
    assert_eq!(
        types(&batch),
        ["fulfilment.operator_commanded", "fulfilment.needs_operator"]
    );
    assert_eq!(stuck_step(&shop), Step::Commit);
}

#[test]
fn a_statement_counts_as_if_the_provider_had_said_it() {
    use payment::Status as Paid;
    let going_on = |step, truth| {
        let mut shop = unknown_at(step);
        shop.order_by_operator(ordered(1, resolve(step, truth)));
        shop
    };
    let shop = going_on(Step::Authorise, Truth::Ok);
    assert_eq!(shop.saga.pending().unwrap().step, Step::Capture);
    assert_eq!(shop.payment.provider_payment_id.as_deref(), Some("pi_7"));
    assert_eq!(shop.payment.ledger().unwrap().authorised, eur(4200));

    let shop = going_on(Step::Authorise, Truth::Refused);
    assert_eq!(
        (shop.status(), shop.payment.status),
        (Status::Compensated, Paid::Declined)
    );

    let shop = going_on(Step::Capture, Truth::Ok);
    assert_eq!(
        (shop.status(), shop.payment.status),
        (Status::Completed, Paid::Captured)
    );
    assert!(matches!(shop.order, order::State::Confirmed(_)));

    let shop = going_on(Step::Capture, Truth::Refused);
    assert_eq!(shop.saga.pending().unwrap().step, Step::Void);
    assert_eq!(shop.units(mug()), (5, 0, 0));
    assert_eq!(
        shop.order.call_off().unwrap().reason,
        CancelReason::PaymentDeclined
    );

    let shop = going_on(Step::Void, Truth::Ok);
    assert_eq!(
        (shop.status(), shop.payment.status),
        (Status::Compensated, Paid::Voided)
    );

    let shop = going_on(Step::Refund, Truth::Ok);
    assert_eq!(
        (shop.status(), shop.payment.status),
        (Status::Compensated, Paid::Refunded)
    );
    assert_eq!(shop.payment.refund_id.as_deref(), Some("re_7"));
    assert_eq!(shop.payment.ledger().unwrap().refunded, eur(4200));

    for (step, cause) in [
        (Step::Void, Cause::VoidRefused),
        (Step::Refund, Cause::RefundRefused),
    ] {
        let shop = going_on(step, Truth::Refused);
        let stuck = shop.saga().stuck.as_ref().unwrap();
        assert_eq!((stuck.step, stuck.cause), (step, cause));
    }
}

#[test]
fn a_refund_that_is_done_by_the_operators_word_has_a_name_of_its_own() {
    let mut shop = refused_at(Step::Refund);
    let by_word = Action::Resolve {
        step: Step::Refund,
        truth: Truth::Ok,
        evidence: "the bank's letter of today".into(),
    };
    shop.order_by_operator(ordered(1, by_word));
    assert_eq!(shop.status(), Status::Compensated);
    let id = shop.payment.refund_id.clone().unwrap();
    assert!(id.starts_with("operator:"), "{id}");
}

#[test]
fn selling_that_is_given_up_gives_the_money_back_and_puts_back_what_is_held() {
    let mut shop = nothing_to_sell();
    let batch = shop.order_by_operator(ordered(1, resolve(Step::Commit, Truth::Refused)));
    assert_eq!(
        types(&batch),
        [
            "fulfilment.operator_commanded",
            "fulfilment.step_ended",
            "fulfilment.unwinding_began",
            "fulfilment.step_ended",
            "fulfilment.intended",
            "order.cancelling",
            "payment.refund_requested",
            "inventory.released",
        ]
    );
    let Stage::Unwinding(unwinding) = &shop.saga().stage else {
        panic!("it unwinds")
    };
    assert_eq!(
        (unwinding.plan.as_slice(), unwinding.due.as_slice()),
        (&[Step::Release, Step::Refund][..], &[Step::Refund][..]),
        "money that is taken is not let go but given back"
    );
    assert_eq!(shop.units(kettle()), (3, 0, 0));
    shop.answer(refunded());
    assert_eq!(shop.status(), Status::Compensated);
    assert_eq!(
        shop.order.call_off().unwrap().reason,
        CancelReason::OperatorAborted
    );
}

#[test]
fn another_sum_is_put_right_by_the_operators_word() {
    let other = |provider_payment_id: &str| Answer::Authorised {
        provider_payment_id: provider_payment_id.into(),
        amount: eur(1),
    };
    let mut shop = Shop::open();
    shop.answer(other("pi_1"));
    assert_eq!(
        shop.saga().stuck.as_ref().unwrap().cause,
        Cause::AmountMismatch
    );
    shop.order_by_operator(ordered(1, resolve(Step::Authorise, Truth::Ok)));
    shop.answer(captured());
    assert_eq!(shop.status(), Status::Completed);

    let mut shop = waiting_at(Step::Capture);
    shop.answer(Answer::Captured { amount: eur(1) });
    shop.order_by_operator(ordered(1, resolve(Step::Capture, Truth::Ok)));
    assert_eq!(shop.status(), Status::Completed);
}

#[test]
fn a_late_success_of_another_sum_that_was_taken_is_ended_by_a_person() {
    let stuck = || {
        let mut shop = Shop::open();
        shop.answer(refused());
        let taken = Answer::AlreadyCaptured {
            provider_payment_id: "pi_1".into(),
            amount: eur(1),
        };
        let input = Input::Answered {
            step: Step::Authorise,
            effect_id: shop.effect(Step::Authorise),
            answer: taken,
        };
        shop.input(input);
        assert_eq!(stuck_step(&shop), Step::Refund);
        shop
    };
    assert_eq!(
        rejection(&stuck(), ordered(1, RETRY)),
        OperatorRejection::NothingToRetry { step: Step::Refund }
    );
    let mut shop = stuck();
    shop.order_by_operator(ordered(1, resolve(Step::Refund, Truth::Ok)));
    assert_eq!(shop.status(), Status::Compensated);
    let mut shop = stuck();
    shop.order_by_operator(ordered(1, resolve(Step::Refund, Truth::Refused)));
    assert_eq!(
        shop.saga().stuck.as_ref().unwrap().cause,
        Cause::RefundRefused
    );
    let mut shop = stuck();
    shop.order_by_operator(ordered(1, Action::Skip { step: Step::Refund }));
    assert_closed(&shop, &[]);
    let mut shop = stuck();
    shop.order_by_operator(ordered(1, Action::Close));
    assert_closed(&shop, &[Step::Refund]);
}

#[test]
fn a_refund_settled_outside_ends_the_order_and_leaves_the_providers_books_alone() {
    let mut shop = refused_at(Step::Refund);
    let batch = shop.order_by_operator(ordered(1, Action::Skip { step: Step::Refund }));
    assert_eq!(
        types(&batch),
        [
            "fulfilment.operator_commanded",
            "fulfilment.closed",
            "order.cancelled",
            "payment.settled_outside"
        ]
    );
    assert_closed(&shop, &[]);
    assert_eq!(
        shop.payment.status,
        payment::Status::Refunded,
        "the customer has the money"
    );
    let ledger = shop.payment.ledger().unwrap();
    assert_eq!((ledger.captured, ledger.refunded), (eur(4200), eur(0)));
    assert_eq!(shop.payment.outside().unwrap().returned, eur(4200));
    assert!(matches!(shop.order, order::State::Cancelled(..)));
    assert_eq!(
        shop.saga().step(Step::Refund).unwrap().state,
        StepState::Skipped
    );
    assert_eq!(shop.offences(), []);
}

#[test]
fn every_stuck_step_can_be_settled_outside_and_then_the_saga_is_closed() {
    for mut shop in every_stuck_shop() {
        let step = stuck_step(&shop);
        shop.order_by_operator(ordered(1, Action::Skip { step }));
        assert_closed(&shop, &[]);
        let backwards = matches!(step, Step::Void | Step::Refund);
        assert_eq!(
            matches!(shop.order, order::State::Cancelled(..)),
            backwards,
            "{step}"
        );
        assert_eq!(
            matches!(shop.order, order::State::Confirmed(_)),
            !backwards,
            "{step}"
        );
        let sold = |quantity| if backwards { 0 } else { quantity };
        let mugs = if step == Step::Commit { 0 } else { sold(2) };
        assert_eq!(
            (shop.units(mug()).2, shop.units(kettle()).2),
            (mugs, sold(1)),
            "{step}: what is there is sold"
        );
        assert_eq!(shop.offences(), [], "{step}");
        let seen = view(&shop.saga, &shop.payment).unwrap();
        let skipped = seen.steps.iter().find(|seen| seen.step == step).unwrap();
        assert_eq!((seen.status, skipped.state), (Status::Closed, "skipped"));
        assert_eq!(
            (seen.left_due.as_slice(), seen.closed_because.as_deref()),
            (&[][..], Some("the customer called"))
        );
        assert!(seen.stock.iter().all(|line| line.held == 0), "{step}");
    }
}

#[test]
fn money_that_came_by_other_means_buys_only_what_is_in_stock() {
    let mut shop = Shop::with_kettles(0);
    exhaust(&mut shop, &unknown());
    let skip = Action::Skip {
        step: Step::Authorise,
    };
    assert_eq!(
        rejection(&shop, ordered(1, skip)),
        OperatorRejection::CannotSkip {
            step: Step::Authorise,
            why: "kettle: 1 wanted, 0 available".into()
        }
    );
}

#[test]
fn an_operator_turns_an_order_back_until_its_money_is_being_taken() {
    let mut shops = vec![
        Shop::open(),
        Shop::at_checkout(),
        unknown_at(Step::Authorise),
    ];
    let mut backing_off = Shop::open();
    backing_off.answer(unknown());
    shops.push(backing_off);
    for mut shop in shops {
        let batch = shop.order_by_operator(ordered(1, Action::Abort));
        assert_eq!(
            types(&batch),
            [
                "fulfilment.operator_commanded",
                "fulfilment.unwinding_began",
                "fulfilment.intended",
                "order.cancelling",
                "payment.void_requested"
            ]
        );
        let call_off = shop.order.call_off().unwrap();
        assert_eq!(
            (call_off.reason, &call_off.detail),
            (CancelReason::OperatorAborted, &None),
            "the customer does not read the operator's words"
        );
        assert_eq!(
            rejection(&shop, ordered(2, Action::Abort)),
            OperatorRejection::TurnsBackAlready
        );
        shop.answer(Answer::Voided);
        assert_eq!(shop.status(), Status::Compensated);
        assert_eq!(
            rejection(&shop, ordered(2, Action::Abort)),
            OperatorRejection::AlreadyEnded {
                status: Status::Compensated
            }
        );
    }
    let mut shop = waiting_at(Step::Capture);
    for _ in 0..3 {
        assert_eq!(
            shop.react(Input::Commanded(ordered(1, Action::Abort))),
            Err(Rejection::TooLate)
        );
        if shop.saga.pending().is_some_and(|open| open.attempt == 1) {
            shop.answer(unknown());
        } else if !shop.saga().has_ended() {
            shop.answer(captured());
        }
    }
    assert_eq!(shop.status(), Status::Completed);
    assert_eq!(
        unknown_at(Step::Capture).react(Input::Commanded(ordered(1, Action::Abort))),
        Err(Rejection::TooLate)
    );
}

#[test]
fn a_saga_is_closed_with_everything_put_back_that_needs_no_provider_and_the_rest_named() {
    for mut shop in every_stuck_shop() {
        let step = stuck_step(&shop);
        shop.order_by_operator(ordered(1, Action::Close));
        let left_due: &[Step] = match step {
            Step::Authorise | Step::Void => &[Step::Void],
            Step::Capture => &[Step::Refund, Step::Void],
            Step::Commit | Step::Refund => &[Step::Refund],
            Step::Hold | Step::Release => unreachable!("never stuck"),
        };
        assert_closed(&shop, left_due);
        assert!(
            matches!(shop.order, order::State::Cancelling(..)),
            "{step}: not everything is put back"
        );
        assert_eq!(
            (shop.units(mug()).1, shop.units(kettle()).1),
            (0, 0),
            "{step}"
        );
        assert_eq!(shop.offences(), [], "{step}");
    }
}

#[test]
fn a_saga_that_waits_for_nobody_takes_no_command_but_abort() {
    let actions = |step| {
        [
            RETRY,
            Action::Skip { step },
            resolve(step, Truth::Ok),
            resolve(step, Truth::Refused),
            Action::Close,
        ]
    };
    for step in OUTSIDE {
        let shop = waiting_at(step);
        for action in actions(step) {
            assert_eq!(
                rejection(&shop, ordered(1, action)),
                OperatorRejection::NotWaiting {
                    status: shop.status()
                },
                "{step}"
            );
        }
    }
    let mut completed = waiting_at(Step::Capture);
    completed.answer(captured());
    let mut compensated = Shop::open();
    compensated.answer(refused());
    let mut closed = refused_at(Step::Refund);
    closed.order_by_operator(ordered(9, Action::Close));
    for shop in [completed, compensated, closed] {
        for action in actions(Step::Refund) {
            assert_eq!(
                rejection(&shop, ordered(1, action)),
                OperatorRejection::AlreadyEnded {
                    status: shop.status()
                }
            );
        }
    }
}

#[test]
fn a_command_about_another_step_than_the_stuck_one_is_refused() {
    let shop = refused_at(Step::Refund);
    for action in [
        Action::Retry {
            step: Some(Step::Void),
        },
        Action::Skip { step: Step::Void },
        resolve(Step::Void, Truth::Ok),
    ] {
        assert_eq!(
            rejection(&shop, ordered(1, action)),
            OperatorRejection::OtherStep {
                stuck: Step::Refund,
                named: Step::Void
            }
        );
    }
}

#[test]
fn a_command_needs_a_reason_and_a_statement_needs_evidence() {
    let shop = refused_at(Step::Refund);
    let wordless = OperatorCommand {
        reason: "  ".into(),
        ..ordered(1, RETRY)
    };
    assert_eq!(rejection(&shop, wordless), OperatorRejection::ReasonMissing);
    let by_guess = Action::Resolve {
        step: Step::Refund,
        truth: Truth::Ok,
        evidence: "\n".into(),
    };
    assert_eq!(
        rejection(&shop, ordered(1, by_guess)),
        OperatorRejection::EvidenceMissing
    );
    let nameless = Action::Resolve {
        step: Step::Authorise,
        truth: Truth::Ok,
        evidence: "they said it worked".into(),
    };
    assert_eq!(
        rejection(&unknown_at(Step::Authorise), ordered(1, nameless)),
        OperatorRejection::PaymentNotNamed
    );
}

#[test]
fn what_says_nothing_new_or_is_known_inside_is_refused() {
    for step in [Step::Void, Step::Refund] {
        assert_eq!(
            rejection(&refused_at(step), ordered(1, resolve(step, Truth::Refused))),
            OperatorRejection::RefusedAlready { step }
        );
    }
    assert_eq!(
        rejection(
            &nothing_to_sell(),
            ordered(1, resolve(Step::Commit, Truth::Ok))
        ),
        OperatorRejection::KnownInside { step: Step::Commit }
    );
}

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

#[test]
fn a_saga_whose_handling_keeps_failing_is_taken_up_or_ended_by_a_person() {
    let quarantined = |action| OperatorCommand {
        quarantine: Some(Quarantine {
            cause: Cause::Poisoned,
            detail: "the handler panicked".into(),
        }),
        ..ordered(1, action)
    };
    let mut shop = waiting_at(Step::Capture);
    let effect = shop.effect(Step::Capture);
    let batch = shop.order_by_operator(quarantined(RETRY));
    assert_eq!(
        types(&batch),
        [
            "fulfilment.needs_operator",
            "fulfilment.operator_commanded",
            "fulfilment.intended"
        ]
    );
    let open = shop.saga.pending().unwrap();
    assert_eq!((open.effect_id, open.attempt), (effect, 2));
    shop.answer(captured());
    assert_eq!(shop.status(), Status::Completed);

    let mut shop = waiting_at(Step::Capture);
    shop.order_by_operator(quarantined(Action::Close));
    assert_closed(&shop, &[Step::Refund, Step::Void]);

    let mut shop = refused_at(Step::Refund);
    let batch = shop.order_by_operator(quarantined(Action::Skip { step: Step::Refund }));
    assert_eq!(
        types(&batch)[0],
        "fulfilment.operator_commanded",
        "it waits for a person already"
    );
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

#[test]
fn an_answer_that_was_on_its_way_counts_for_the_try_that_was_ordered_again() {
    let mut shop = unknown_at(Step::Capture);
    shop.order_by_operator(ordered(1, RETRY));
    assert!(matches!(
        shop.saga.pending().unwrap().phase,
        Phase::InFlight { .. }
    ));
    shop.answer(later());
    shop.until_due().answer(captured());
    assert_eq!(shop.status(), Status::Completed);
}

#[test]
fn a_void_that_is_tried_again_may_find_the_money_taken() {
    let mut shop = refused_at(Step::Void);
    shop.order_by_operator(ordered(1, RETRY));
    shop.answer(already_captured());
    shop.answer(refunded());
    assert_eq!(shop.status(), Status::Compensated);
}

#[test]
fn the_capture_refused_then_the_void_refused_leaves_nothing_undone_that_could_be_done() {
    let mut shop = waiting_at(Step::Capture);
    shop.answer(refused());
    assert_eq!(
        shop.units(mug()),
        (5, 0, 0),
        "the units are for sale at once"
    );
    shop.answer(refused());
    assert_eq!(stuck_step(&shop), Step::Void);
    assert!(matches!(shop.order, order::State::Cancelling(..)));
    shop.order_by_operator(ordered(1, RETRY));
    shop.answer(refused());
    shop.order_by_operator(ordered(2, RETRY));
    shop.answer(Answer::Voided);
    assert_eq!(shop.status(), Status::Compensated);
    let refusals = shop
        .history
        .iter()
        .filter(|event| matches!(event, Event::NeedsOperator(_)));
    assert_eq!(refusals.count(), 2);
}

#[test]
fn an_order_under_another_definition_takes_no_command() {
    let mut shop = refused_at(Step::Refund);
    let mut saga = shop.saga().clone();
    saga.def.version = 99;
    let def = saga.def.clone();
    shop.saga = crate::fulfilment::State::Started(Box::new(saga));
    assert_eq!(
        shop.react(Input::Commanded(ordered(1, Action::Close))),
        Err(Rejection::OtherDefinition { def })
    );
}

#[test]
fn a_step_that_waits_for_a_person_is_not_unlocked_by_what_says_nothing() {
    for step in OUTSIDE {
        let mut shop = unknown_at(step);
        let effect_id = shop.effect(step);
        let before = authorised();
        for answer in [unknown(), later()] {
            let input = Input::Answered {
                step,
                effect_id,
                answer,
            };
            assert!(shop.input(input).is_empty(), "{step}: {before:?}");
        }
    }
}
