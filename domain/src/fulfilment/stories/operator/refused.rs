//! How a command is refused where it does not fit.

use super::{RETRY, nothing_to_sell, refused_at, rejection, resolve, unknown_at};
use crate::fulfilment::fixtures::{Shop, authorised, captured, later, ordered, refused, unknown};
use crate::fulfilment::stories::unsettled::{OUTSIDE, waiting_at};
use crate::fulfilment::{
    Action, Input, OperatorCommand, OperatorRejection, Rejection, Step, Truth,
};

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
