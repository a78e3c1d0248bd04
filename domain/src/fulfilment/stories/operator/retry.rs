//! The stuck effect again: under the same effect id, with a fresh budget, and counting on.

use std::time::Duration;

use super::{RETRY, nothing_to_sell, refused_at, stuck_step, unknown_at};
use crate::fixtures::mug;
use crate::fulfilment::fixtures::{
    Shop, already_captured, captured, later, ordered, refunded, refused, types, unknown,
};
use crate::fulfilment::stories::unsettled::{OUTSIDE, exhaust, success, waiting_at};
use crate::fulfilment::{Action, Answer, Event, Outcome, Phase, Status, Step};
use crate::{order, payment};

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
