//! What comes too late, again, or against what was said before: an input that tells of money is never lost, and one that
//! does not moves nothing.

use event_schema::order::CancelReason;

use super::unsettled::{OUTSIDE, exhaust, success, waiting_at};
use crate::fixtures::{eur, kettle, mug};
use crate::fulfilment::fixtures::{
    Shop, already_captured, authorised, authorised_as, cancel, captured, refunded, refused, unknown,
};
use crate::fulfilment::{Answer, Cause, Decision, Input, Rejection, Status, Step};
use crate::{order, payment};

/// An answer about a step's newest effect, whoever tells it.
fn about(shop: &Shop, step: Step, answer: Answer) -> Input {
    Input::Answered {
        step,
        effect_id: shop.effect(step),
        answer,
    }
}

fn taken_under(id: &str) -> Answer {
    Answer::AlreadyCaptured {
        provider_payment_id: id.into(),
        amount: eur(4200),
    }
}

#[test]
fn a_stale_refusal_after_a_success_changes_nothing_at_any_step() {
    for step in OUTSIDE {
        let mut shop = waiting_at(step);
        let stale = about(&shop, step, refused());
        shop.answer(success(step));
        let before = shop.clone();
        assert_eq!(shop.input(stale), Decision::default(), "{step}");
        assert_eq!(shop.saga, before.saga, "{step}");
        assert_eq!(shop.payment, before.payment, "{step}");
    }
}

#[test]
fn a_stale_doubt_after_a_success_changes_nothing_at_any_step() {
    for step in OUTSIDE {
        let mut shop = waiting_at(step);
        let stale = about(&shop, step, unknown());
        shop.answer(success(step));
        assert_eq!(shop.input(stale), Decision::default(), "{step}");
    }
}

#[test]
fn a_success_that_comes_while_going_back_is_found_by_the_void_and_undone_once() {
    // Called off while the money was being set aside; it is set aside, and then taken, before our void.
    let mut shop = Shop::open();
    let authorises = shop.answered(authorised());
    shop.cancel();
    assert_eq!(
        shop.input(authorises),
        Decision::default(),
        "the void finds it"
    );
    shop.answer(already_captured());
    assert_eq!(shop.saga.pending().unwrap().step, Step::Refund);
    let told_again = about(&shop, Step::Void, already_captured());
    assert_eq!(shop.input(told_again), Decision::default());
    shop.answer(refunded());
    assert_eq!(shop.status(), Status::Compensated);
    let ledger = shop.payment.ledger().unwrap();
    assert_eq!((ledger.captured, ledger.refunded), (eur(4200), eur(4200)));
    assert_eq!(shop.units(mug()), (5, 0, 0));
}

#[test]
fn a_success_after_the_refund_is_another_payment_or_nothing() {
    let mut shop = waiting_at(Step::Refund);
    shop.answer(refunded());
    let same = about(&shop, Step::Authorise, taken_under("pi_1"));
    assert_eq!(
        shop.input(same),
        Decision::default(),
        "that one was given back"
    );
    for id in ["pi_2", "pi_3"] {
        shop.input(about(&shop, Step::Authorise, taken_under(id)));
        assert_eq!(shop.saga.pending().unwrap().step, Step::Refund, "{id}");
        shop.answer(Answer::Refunded {
            refund_id: format!("re_of_{id}"),
            amount: eur(4200),
        });
        assert_eq!(shop.status(), Status::Compensated, "{id}");
    }
    let ledger = shop.payment.ledger().unwrap();
    assert_eq!(ledger.captured, ledger.refunded, "nothing is kept");
    assert!(matches!(shop.order, order::State::Cancelled(..)));
}

#[test]
fn a_second_success_while_the_first_late_one_is_being_undone_is_undone_after_it() {
    let mut shop = Shop::open();
    shop.answer(refused());
    shop.input(about(&shop, Step::Authorise, authorised_as("pi_1")));
    let second = about(&shop, Step::Authorise, authorised_as("pi_2"));
    assert_eq!(
        shop.input(second.clone()),
        Decision::default(),
        "one after the other: a look-up tells of it again"
    );
    shop.answer(Answer::Voided);
    assert_eq!(shop.status(), Status::Compensated);
    shop.input(second);
    assert_eq!(shop.saga.pending().unwrap().step, Step::Void);
    shop.answer(Answer::Voided);
    assert_eq!(
        (shop.status(), shop.payment.status),
        (Status::Compensated, payment::Status::Voided)
    );
}

#[test]
fn a_success_under_a_call_that_seemed_never_to_have_happened_is_undone_after_the_end() {
    let mut shop = Shop::open();
    let first = shop.effect(Step::Authorise);
    shop.answer(Answer::NeverHappened {
        detail: "500 replayed, not in the list".into(),
    });
    assert_ne!(shop.effect(Step::Authorise), first, "it is opened anew");
    shop.answer(refused());
    assert_eq!(shop.status(), Status::Compensated);
    let late = Input::Answered {
        step: Step::Authorise,
        effect_id: first,
        answer: authorised(),
    };
    shop.input(late);
    assert_eq!(shop.saga.pending().unwrap().step, Step::Void);
    shop.answer(Answer::Voided);
    assert_eq!(shop.status(), Status::Compensated);
}

#[test]
fn a_capture_that_nobody_knows_of_stays_ahead_of_cancel_and_expiry() {
    let mut shop = waiting_at(Step::Capture);
    exhaust(&mut shop, &unknown());
    assert_eq!(shop.status(), Status::NeedsOperator);
    assert_eq!(shop.react(cancel()), Err(Rejection::TooLate));
    let much_later = 24 * 60 * 60_000;
    assert_eq!(
        shop.pass(much_later).input(Input::HoldExpired),
        Decision::default()
    );
    assert_eq!(shop.input(Input::DeadlinePassed), Decision::default());
    assert_eq!((shop.units(mug()).1, shop.units(kettle()).1), (2, 1));
    // A callback brings the answer after all.
    shop.input(about(&shop, Step::Capture, captured()));
    assert_eq!(shop.status(), Status::Completed);
    assert_eq!((shop.units(mug()).2, shop.units(kettle()).2), (2, 1));
}

#[test]
fn a_cancel_during_an_unknown_refund_changes_neither_the_plan_nor_the_reason() {
    let mut shop = waiting_at(Step::Refund);
    shop.answer(unknown());
    let reason = shop.order.call_off().unwrap().reason;
    assert_ne!(reason, CancelReason::CustomerCancelled);
    assert_eq!(shop.cancel(), Decision::default());
    assert_eq!(shop.order.call_off().unwrap().reason, reason);
    shop.until_due().answer(refunded());
    assert_eq!(shop.order.call_off().unwrap().reason, reason);
}

#[test]
fn the_money_of_a_refused_void_that_is_taken_all_the_same_stays_with_the_person() {
    let mut shop = waiting_at(Step::Void);
    shop.answer(refused());
    assert_eq!(
        shop.saga().stuck.as_ref().unwrap().cause,
        Cause::VoidRefused
    );
    let taken = about(&shop, Step::Void, already_captured());
    assert_eq!(
        shop.input(taken),
        Decision::default(),
        "a person is asked already; a retry finds it taken and gives it back"
    );
    assert_eq!(shop.status(), Status::NeedsOperator);
}
