//! A person is needed: refused for good while going back, or money that is not what was asked for.

use event_schema::{Currency, Decider, Money, inventory as stock_events};

use crate::fixtures::{at, eur, mug, order as order_id};
use crate::fulfilment::fixtures::{
    Shop, already_captured, authorised, cancel, captured, price, refunded, refused, types, unknown,
};
use crate::fulfilment::{Answer, Cause, Decision, Input, Rejection, Status, Step, view};
use crate::inventory::Inventory;
use crate::order;
use crate::payment;

#[track_caller]
fn assert_stuck(shop: &Shop, step: Step, cause: Cause) {
    let stuck = shop.saga().stuck.as_ref().unwrap();
    assert_eq!((stuck.step, stuck.cause), (step, cause));
    assert_eq!(shop.status(), Status::NeedsOperator);
    assert_eq!(
        (shop.saga.pending(), shop.saga.deadline()),
        (None, None),
        "nothing happens by itself"
    );
    let seen = view(&shop.saga, &shop.payment).unwrap();
    assert_eq!(
        (seen.status, seen.step, seen.cause),
        (Status::NeedsOperator, Some(step), Some(cause))
    );
}

#[test]
fn a_refund_refused_for_good_needs_a_person_and_stays_pending_for_the_customer() {
    let mut shop = Shop::with_kettles(0);
    shop.answer(authorised());
    shop.answer(already_captured());
    let batch = shop.answer(Answer::Refused {
        code: "account_closed".into(),
        message: "final".into(),
    });
    assert_eq!(
        types(&batch),
        [
            "fulfilment.step_ended",
            "fulfilment.needs_operator",
            "payment.refund_refused"
        ]
    );
    assert_stuck(&shop, Step::Refund, Cause::RefundRefused);
    assert_eq!(shop.payment.status, payment::Status::RefundPending);
    assert!(
        matches!(shop.order, order::State::Cancelling(..)),
        "the order has not ended"
    );
}

#[test]
fn a_void_refused_for_good_needs_a_person_after_all_else_is_put_back() {
    let mut shop = Shop::open();
    shop.answer(authorised());
    shop.answer(refused());
    let batch = shop.answer(refused());
    assert_eq!(
        types(&batch),
        [
            "fulfilment.step_ended",
            "fulfilment.needs_operator",
            "payment.void_refused"
        ]
    );
    assert_stuck(&shop, Step::Void, Cause::VoidRefused);
    assert_eq!(
        shop.units(mug()),
        (5, 0, 0),
        "what does not depend on it is done"
    );
    assert_eq!(shop.payment.status, payment::Status::Authorised);
}

#[test]
fn an_answer_to_what_was_refused_for_good_changes_nothing() {
    let mut shop = Shop::open();
    shop.cancel();
    let voided = shop.answered(Answer::Voided);
    shop.answer(refused());
    assert_eq!(shop.input(voided), Decision::default());
    assert_eq!(shop.input(Input::DeadlinePassed), Decision::default());
    assert_eq!(shop.cancel(), Decision::default());
}

/// Other sums than were asked for.
fn others() -> [Money; 3] {
    [eur(4199), eur(4201), Money::new(4200, Currency::USD)]
}

#[test]
fn another_sum_set_aside_is_never_confirmed() {
    for amount in others() {
        let mut shop = Shop::open();
        let batch = shop.answer(Answer::Authorised {
            provider_payment_id: "pi_1".into(),
            amount,
        });
        assert_eq!(types(&batch), ["fulfilment.needs_operator"]);
        assert_stuck(&shop, Step::Authorise, Cause::AmountMismatch);
        let right = Input::Answered {
            step: Step::Authorise,
            effect_id: shop.effect(Step::Authorise),
            answer: authorised(),
        };
        assert_eq!(
            shop.input(right),
            Decision::default(),
            "only a person goes on from here"
        );
        let detail = shop.saga().stuck.as_ref().unwrap().detail.clone();
        assert!(
            detail.contains(&amount.to_string()) && detail.contains("pi_1"),
            "{detail}"
        );
    }
}

#[test]
fn another_sum_taken_is_never_confirmed() {
    for amount in others() {
        let mut shop = Shop::open();
        shop.answer(authorised());
        shop.answer(Answer::Captured { amount });
        assert_stuck(&shop, Step::Capture, Cause::AmountMismatch);
        assert!(matches!(shop.order, order::State::PendingPayment(_)));
        assert_eq!(shop.react(cancel()), Err(Rejection::TooLate));
    }
}

#[test]
fn another_sum_taken_or_given_back_while_going_back_needs_a_person() {
    for amount in others() {
        let mut shop = Shop::open();
        shop.cancel();
        shop.answer(Answer::AlreadyCaptured {
            provider_payment_id: "pi_1".into(),
            amount,
        });
        assert_stuck(&shop, Step::Void, Cause::AmountMismatch);

        let mut shop = Shop::open();
        shop.cancel();
        shop.answer(already_captured());
        shop.answer(Answer::Refunded {
            refund_id: "re_1".into(),
            amount,
        });
        assert_stuck(&shop, Step::Refund, Cause::AmountMismatch);
        assert_eq!(shop.payment.refundable(), Some(price()));
    }
}

#[test]
fn an_order_with_another_sum_set_aside_can_be_called_off() {
    let mut shop = Shop::open();
    shop.answer(Answer::Authorised {
        provider_payment_id: "pi_1".into(),
        amount: eur(1),
    });
    shop.cancel();
    shop.answer(Answer::Voided);
    assert_eq!(shop.status(), Status::Compensated);
}

#[test]
fn money_taken_for_units_that_are_gone_needs_a_person() {
    let mut shop = Shop::open();
    shop.answer(authorised());
    let released = stock_events::Released {
        order_id: order_id(1),
        quantity: 2,
        cause: stock_events::ReleaseCause::Expired,
    };
    let stock = Inventory::evolve(shop.stock[&mug()].clone(), &released.into());
    shop.stock.insert(mug(), stock);
    let batch = shop.answer(captured());
    assert_eq!(
        types(&batch),
        [
            "fulfilment.step_ended",
            "fulfilment.needs_operator",
            "payment.captured"
        ],
        "the truth about the money is recorded, and no line is sold alone"
    );
    assert_stuck(&shop, Step::Commit, Cause::Poisoned);
    assert_eq!(shop.react(cancel()), Err(Rejection::TooLate));
}

#[test]
fn a_person_is_told_once() {
    let mut shop = Shop::open();
    shop.cancel();
    shop.answer(already_captured());
    let open = shop.answered(refused());
    shop.answer(refused());
    for answer in [refused(), refunded(), unknown()] {
        let Input::Answered {
            step, effect_id, ..
        } = open.clone()
        else {
            unreachable!()
        };
        assert_eq!(
            shop.input(Input::Answered {
                step,
                effect_id,
                answer
            }),
            Decision::default()
        );
    }
    assert_eq!(shop.now(), at(0));
}
