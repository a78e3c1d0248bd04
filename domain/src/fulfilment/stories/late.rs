//! A success that arrives after everything was put back: undone once and recorded; the order stays called off.

use event_schema::order::CancelReason;

use crate::fixtures::{eur, mug};
use crate::fulfilment::fixtures::{
    Shop, action_required, already_captured, authorised, authorised_as, captured, ordered,
    refund_failed, refunded, refused, types, unknown,
};
use crate::fulfilment::{Action, Answer, Cause, Decision, Input, Stage, Status, Step};
use crate::payment;

/// A look-up under the reference of the first effect, made because a callback told something.
fn looked_up(shop: &Shop, answer: Answer) -> Input {
    Input::Answered {
        step: Step::Authorise,
        effect_id: shop.effect(Step::Authorise),
        answer,
    }
}

fn declined() -> Shop {
    let mut shop = Shop::open();
    shop.answer(refused());
    shop
}

fn called_off() -> Shop {
    let mut shop = Shop::open();
    shop.cancel();
    shop.answer(Answer::NothingToVoid);
    shop
}

#[test]
fn money_set_aside_after_the_end_is_let_go_once() {
    for (mut shop, reason) in [
        (declined(), CancelReason::PaymentDeclined),
        (called_off(), CancelReason::CustomerCancelled),
    ] {
        let late = looked_up(&shop, authorised());
        let batch = shop.input(late.clone());
        assert_eq!(
            types(&batch),
            [
                "fulfilment.unwinding_began",
                "fulfilment.intended",
                "payment.authorised",
                "payment.void_requested"
            ]
        );
        assert_eq!(shop.status(), Status::Unwinding);
        let batch = shop.answer(Answer::Voided);
        assert_eq!(
            types(&batch),
            [
                "fulfilment.step_ended",
                "fulfilment.compensated",
                "payment.voided"
            ]
        );
        assert_eq!(shop.saga().stage, Stage::Compensated { reason });
        assert_eq!(shop.input(late), Decision::default(), "once");
        assert_eq!(shop.units(mug()), (5, 0, 0));
    }
}

#[test]
fn money_taken_after_the_end_is_given_back_once() {
    for mut shop in [declined(), called_off()] {
        let late = looked_up(&shop, already_captured());
        let batch = shop.input(late.clone());
        assert_eq!(
            types(&batch),
            [
                "fulfilment.unwinding_began",
                "fulfilment.intended",
                "payment.authorised",
                "payment.captured",
                "payment.refund_requested"
            ]
        );
        shop.answer(refunded());
        assert_eq!(
            (shop.status(), shop.payment.status),
            (Status::Compensated, payment::Status::Refunded)
        );
        assert_eq!(shop.input(late), Decision::default(), "once");
    }
}

#[test]
fn a_void_of_a_late_success_may_find_it_taken_in_the_meantime() {
    let mut shop = declined();
    shop.input(looked_up(&shop, authorised()));
    shop.answer(already_captured());
    shop.answer(refunded());
    assert_eq!(
        (shop.status(), shop.payment.status),
        (Status::Compensated, payment::Status::Refunded)
    );
}

#[test]
fn a_late_success_with_no_usable_answer_is_followed_up_like_any_other() {
    let mut shop = declined();
    shop.input(looked_up(&shop, authorised()));
    shop.answer(unknown());
    shop.until_due().answer(Answer::Voided);
    assert_eq!(shop.status(), Status::Compensated);
}

#[test]
fn another_payment_that_lands_after_the_first_was_undone_is_undone_too() {
    let mut shop = declined();
    for id in ["pi_1", "pi_2", "pi_3"] {
        shop.input(looked_up(&shop, authorised_as(id)));
        assert_eq!(shop.status(), Status::Unwinding, "{id}");
        shop.answer(Answer::Voided);
        assert_eq!(shop.status(), Status::Compensated, "{id}");
    }
    assert_eq!(
        shop.saga().step(Step::Void).unwrap().opening,
        3,
        "each under an effect id of its own"
    );
}

#[test]
fn an_old_answer_about_money_that_was_let_go_is_no_late_success() {
    let mut shop = Shop::with_kettles(0);
    let old = shop.answered(authorised());
    shop.answer(authorised());
    shop.answer(Answer::Voided);
    assert_eq!(shop.input(old), Decision::default());
}

#[test]
fn money_that_was_let_go_and_is_taken_all_the_same_is_given_back() {
    let mut shop = Shop::open();
    shop.answer(authorised());
    let capture = shop.answered(captured());
    shop.answer(refused());
    shop.answer(Answer::Voided);
    shop.input(capture.clone());
    assert_eq!(shop.saga.pending().unwrap().step, Step::Refund);
    shop.answer(refunded());
    assert_eq!(
        (shop.status(), shop.payment.status),
        (Status::Compensated, payment::Status::Refunded)
    );
    assert_eq!(shop.input(capture), Decision::default());
}

#[test]
fn a_late_success_of_another_sum_is_let_go_if_set_aside_and_needs_a_person_if_taken() {
    let mut shop = declined();
    let batch = shop.input(looked_up(
        &shop,
        Answer::Authorised {
            provider_payment_id: "pi_1".into(),
            amount: eur(1),
        },
    ));
    assert_eq!(
        types(&batch),
        [
            "fulfilment.unwinding_began",
            "fulfilment.intended",
            "payment.void_requested"
        ],
        "a sum that was never asked for does not enter the ledger"
    );
    shop.answer(Answer::Voided);
    assert_eq!(shop.status(), Status::Compensated);

    let mut shop = declined();
    shop.input(looked_up(
        &shop,
        Answer::AlreadyCaptured {
            provider_payment_id: "pi_1".into(),
            amount: eur(1),
        },
    ));
    let stuck = shop.saga().stuck.as_ref().unwrap();
    assert_eq!(
        (stuck.step, stuck.cause),
        (Step::Refund, Cause::AmountMismatch)
    );
}

/// A look-up of the refund, made because the provider told what became of it.
fn refund_looked_up(shop: &Shop, answer: Answer) -> Input {
    Input::Answered {
        step: Step::Refund,
        effect_id: shop.effect(Step::Refund),
        answer,
    }
}

#[test]
fn a_refund_that_the_bank_returns_after_the_end_needs_a_person_once_and_can_be_tried_again() {
    let mut shop = declined();
    shop.input(looked_up(&shop, already_captured()));
    shop.answer(refunded());
    assert_eq!(shop.status(), Status::Compensated);
    let another = refund_looked_up(&shop, refund_failed("re_0"));
    assert_eq!(shop.input(another), Decision::default(), "an older refund");

    let failed = refund_looked_up(&shop, refund_failed("re_1"));
    let batch = shop.input(failed.clone());
    assert_eq!(
        types(&batch),
        [
            "fulfilment.unwinding_began",
            "fulfilment.step_ended",
            "fulfilment.needs_operator",
            "payment.refund_failed"
        ]
    );
    let stuck = shop.saga().stuck.as_ref().unwrap();
    assert_eq!(
        (stuck.step, stuck.cause, shop.payment.status),
        (
            Step::Refund,
            Cause::RefundRefused,
            payment::Status::RefundPending
        )
    );
    assert_eq!(shop.payment.refundable(), Some(eur(4200)));
    assert_eq!(shop.input(failed.clone()), Decision::default(), "once");

    shop.order_by_operator(ordered(1, Action::Retry { step: None }));
    shop.answer(Answer::Refunded {
        refund_id: "re_2".into(),
        amount: eur(4200),
    });
    assert_eq!(
        (shop.status(), shop.payment.status),
        (Status::Compensated, payment::Status::Refunded)
    );
    assert_eq!(shop.input(failed), Decision::default(), "it is an old one");
    assert_eq!(shop.offences(), vec![]);
}

#[test]
fn after_the_end_nothing_but_a_success_means_anything() {
    let mut shop = called_off();
    for answer in [
        action_required(),
        Answer::Voided,
        Answer::NothingToVoid,
        refunded(),
        refused(),
        unknown(),
        Answer::NeverHappened {
            detail: "nothing listed".into(),
        },
        captured(),
    ] {
        let input = looked_up(&shop, answer);
        assert_eq!(shop.input(input), Decision::default());
    }
    let foreign = Input::Answered {
        step: Step::Authorise,
        effect_id: event_schema::ids::EffectId::of(crate::fixtures::order(2), "authorise", 1),
        answer: authorised(),
    };
    assert_eq!(
        shop.input(foreign),
        Decision::default(),
        "another order's effect"
    );
}
