//! What the provider tells after a person has ended the saga: found in the books, and nothing comes back to life.

use super::operator::nothing_to_sell;
use super::unsettled::{exhaust, waiting_at};
use crate::fixtures::{eur, mug};
use crate::fulfilment::fixtures::{
    Shop, action_required, already_captured, authorised, authorised_as, cancel, captured, ordered,
    refund_failed, refunded, refused, types, unknown,
};
use crate::fulfilment::{
    Action, Answer, Decision, Input, MOST_LATE_OUTCOMES, Rejection, Stage, Status, Step,
};
use crate::payment;

/// Closed while nobody knew what had become of a step.
fn closed_at(step: Step) -> Shop {
    let mut shop = waiting_at(step);
    exhaust(&mut shop, &unknown());
    shop.order_by_operator(ordered(1, Action::Close));
    assert_eq!(shop.status(), Status::Closed);
    shop
}

fn told(shop: &mut Shop, step: Step, answer: Answer) -> Decision {
    let input = Input::Answered {
        step,
        effect_id: shop.effect(step),
        answer,
    };
    shop.input(input)
}

#[test]
fn money_set_aside_after_the_close_is_in_the_books_and_nothing_else_happens() {
    let mut shop = closed_at(Step::Authorise);
    let stage = shop.saga().stage.clone();
    let batch = told(&mut shop, Step::Authorise, authorised());
    assert_eq!(
        types(&batch),
        ["fulfilment.late_outcome_recorded", "payment.authorised"]
    );
    assert_eq!(
        shop.saga().late[0].detail,
        "42.00 EUR were set aside (pi_1)"
    );
    assert_eq!(shop.payment.ledger().unwrap().authorised, eur(4200));
    assert_eq!(shop.saga().stage, stage);
    assert_eq!((shop.saga.pending(), shop.saga.deadline()), (None, None));
    assert_eq!(shop.units(mug()), (5, 0, 0));
}

#[test]
fn money_taken_after_the_close_is_in_the_books_once() {
    let mut shop = closed_at(Step::Capture);
    let batch = told(&mut shop, Step::Capture, captured());
    assert_eq!(
        types(&batch),
        ["fulfilment.late_outcome_recorded", "payment.captured"]
    );
    assert_eq!(shop.payment.ledger().unwrap().captured, eur(4200));
    assert!(told(&mut shop, Step::Authorise, already_captured()).is_empty());
    assert_eq!(shop.status(), Status::Closed);
}

#[test]
fn what_was_left_due_and_happens_after_all_is_in_the_books() {
    let mut shop = closed_at(Step::Refund);
    let batch = told(&mut shop, Step::Refund, refunded());
    assert_eq!(
        types(&batch),
        ["fulfilment.late_outcome_recorded", "payment.refunded"]
    );
    assert_eq!(
        (shop.status(), shop.payment.status),
        (Status::Closed, payment::Status::Refunded)
    );

    let mut shop = closed_at(Step::Void);
    let batch = told(&mut shop, Step::Void, Answer::Voided);
    assert_eq!(
        types(&batch),
        ["fulfilment.late_outcome_recorded", "payment.voided"]
    );
    assert!(
        told(&mut shop, Step::Authorise, authorised()).is_empty(),
        "that very payment was let go"
    );
}

#[test]
fn a_sum_that_was_never_asked_for_does_not_enter_the_ledger_and_can_be_found() {
    let mut shop = closed_at(Step::Authorise);
    let other = Answer::AlreadyCaptured {
        provider_payment_id: "pi_1".into(),
        amount: eur(1),
    };
    let batch = told(&mut shop, Step::Authorise, other);
    assert_eq!(types(&batch), ["fulfilment.late_outcome_recorded"]);
    assert_eq!(shop.payment.ledger().unwrap().captured, eur(0));
}

#[test]
fn what_says_nothing_about_money_is_not_recorded() {
    for step in [Step::Authorise, Step::Capture, Step::Void, Step::Refund] {
        let mut shop = closed_at(step);
        for answer in [
            action_required(),
            Answer::NothingToVoid,
            refused(),
            unknown(),
            Answer::NeverHappened {
                detail: "nothing listed".into(),
            },
        ] {
            assert!(told(&mut shop, step, answer).is_empty(), "{step}");
        }
        assert!(shop.input(Input::DeadlinePassed).is_empty(), "{step}");
    }
    let mut shop = closed_at(Step::Authorise);
    let foreign = Input::Answered {
        step: Step::Authorise,
        effect_id: event_schema::ids::EffectId::of(crate::fixtures::order(2), "authorise", 1),
        answer: authorised(),
    };
    assert!(shop.input(foreign).is_empty(), "another order's effect");
}

#[test]
fn what_is_told_after_the_close_is_kept_within_a_limit() {
    let mut shop = closed_at(Step::Authorise);
    for n in 0..2 * MOST_LATE_OUTCOMES {
        let answer = Answer::AlreadyCaptured {
            provider_payment_id: format!("pi_{n}"),
            amount: eur(1),
        };
        told(&mut shop, Step::Authorise, answer);
    }
    assert_eq!(shop.saga().late.len(), MOST_LATE_OUTCOMES);
}

#[test]
fn a_customer_who_cancels_a_closed_order_gets_the_answer_that_fits_its_end() {
    let mut shop = closed_at(Step::Capture);
    assert_eq!(shop.cancel(), Decision::default(), "called off already");
    let mut shop = nothing_to_sell();
    shop.order_by_operator(ordered(1, Action::Skip { step: Step::Commit }));
    assert_eq!(
        shop.react(cancel()),
        Err(Rejection::TooLate),
        "it was confirmed"
    );
}

#[test]
fn no_event_brings_a_closed_saga_back() {
    use crate::fulfilment::Fulfilment;
    use event_schema::Decider;
    use event_schema::fulfilment as event;
    use event_schema::order::CancelReason;

    let shop = closed_at(Step::Refund);
    let effect_id = shop.effect(Step::Refund);
    let revivals: [crate::fulfilment::Event; 5] = [
        event::Intended {
            step: Step::Refund,
            effect_id,
            opening: 2,
            deadline: shop.now(),
        }
        .into(),
        event::UnwindingBegan {
            reason: CancelReason::OperatorAborted,
            detail: None,
            plan: vec![Step::Void],
        }
        .into(),
        event::Completed {}.into(),
        event::Compensated {
            reason: CancelReason::OperatorAborted,
        }
        .into(),
        event::Closed {
            left_due: vec![],
            reason: "another end".into(),
        }
        .into(),
    ];
    for revival in revivals {
        assert_eq!(
            Fulfilment::evolve(shop.saga.clone(), &revival),
            shop.saga,
            "{revival:?}"
        );
    }
}

#[test]
fn another_payment_after_a_refund_settled_outside_is_told_too() {
    let mut shop = waiting_at(Step::Refund);
    shop.answer(refused());
    shop.order_by_operator(ordered(1, Action::Skip { step: Step::Refund }));
    told(&mut shop, Step::Authorise, authorised_as("pi_2"));
    assert!(matches!(shop.saga().stage, Stage::Closed(_)));
    assert_eq!(shop.saga().late.len(), 1);
}

#[test]
fn a_refund_that_the_bank_returns_after_the_close_is_in_the_books_once() {
    let mut shop = closed_at(Step::Refund);
    told(&mut shop, Step::Refund, refunded());
    let stage = shop.saga().stage.clone();
    let batch = told(&mut shop, Step::Refund, refund_failed("re_1"));
    assert_eq!(
        types(&batch),
        ["fulfilment.late_outcome_recorded", "payment.refund_failed"]
    );
    assert_eq!(shop.payment.refundable(), Some(eur(4200)));
    assert_eq!(shop.saga().stage, stage);
    let again = told(&mut shop, Step::Refund, refund_failed("re_1"));
    assert_eq!(again, Decision::default());
}
