//! What an operator states about a stuck step counts as if the provider had said it.

use event_schema::order::CancelReason;

use super::{
    RETRY, assert_closed, nothing_to_sell, refused_at, rejection, resolve, stuck_step, unknown_at,
};
use crate::fixtures::{eur, kettle, mug};
use crate::fulfilment::fixtures::{Shop, captured, ordered, refunded, refused, types};
use crate::fulfilment::stories::unsettled::waiting_at;
use crate::fulfilment::{
    Action, Answer, Cause, Input, OperatorRejection, Stage, Status, Step, Truth,
};
use crate::{order, payment};

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
