//! Going back: declined, sold out, called off at every stage, expired, refused at the capture, taken after all.

use event_schema::Decider;
use event_schema::fulfilment as event;
use event_schema::order::CancelReason;

use crate::fixtures::{at, eur, kettle, mug};
use crate::fulfilment::fixtures::{
    Shop, already_captured, authorised, cancel, captured, refunded, refused, types, unknown,
};
use crate::fulfilment::{
    Answer, Decision, Fulfilment, Input, Rejection, Stage, Status, Step, StepState, view,
};
use crate::inventory::{self, Inventory};
use crate::order;
use crate::payment;

#[track_caller]
fn assert_put_back(shop: &Shop, reason: CancelReason) {
    assert_eq!(shop.saga().stage, Stage::Compensated { reason });
    assert_eq!(shop.order.call_off().unwrap().reason, reason);
    assert_eq!((shop.units(mug()).1, shop.units(kettle()).1), (0, 0));
    assert_eq!(shop.saga.deadline(), None);
}

#[test]
fn a_declined_order_ends_in_one_batch_with_nothing_to_put_back() {
    let mut shop = Shop::open();
    let declined = Answer::Refused {
        code: "card_declined".into(),
        message: "Your card was declined.".into(),
    };
    let batch = shop.answer(declined);
    assert_eq!(
        types(&batch),
        [
            "fulfilment.step_ended",
            "fulfilment.compensated",
            "order.cancelled",
            "payment.declined"
        ]
    );
    assert_put_back(&shop, CancelReason::PaymentDeclined);
    assert_eq!(shop.payment.status, payment::Status::Declined);
    assert_eq!(
        shop.order.call_off().unwrap().detail.as_deref(),
        Some("Your card was declined.")
    );
    assert_eq!(
        shop.saga().step(Step::Authorise).unwrap().detail.as_deref(),
        Some("card_declined: Your card was declined.")
    );
}

#[test]
fn a_sold_out_line_holds_nothing_at_all_and_lets_the_money_go() {
    let mut shop = Shop::with_kettles(0);
    let batch = shop.answer(authorised());
    assert_eq!(
        types(&batch),
        [
            "fulfilment.step_ended",
            "fulfilment.step_ended",
            "fulfilment.unwinding_began",
            "fulfilment.intended",
            "order.cancelling",
            "payment.authorised",
            "payment.void_requested",
        ],
        "the mugs are not held either"
    );
    let call_off = shop.order.call_off().unwrap();
    assert_eq!(call_off.reason, CancelReason::OutOfStock);
    assert_eq!(
        call_off.detail.as_deref(),
        Some("kettle: 1 wanted, 0 available")
    );
    assert_eq!(shop.status(), Status::Unwinding);

    let batch = shop.answer(Answer::Voided);
    assert_eq!(
        types(&batch),
        [
            "fulfilment.step_ended",
            "fulfilment.compensated",
            "order.cancelled",
            "payment.voided"
        ]
    );
    assert_put_back(&shop, CancelReason::OutOfStock);
    assert_eq!(shop.payment.status, payment::Status::Voided);
    assert_eq!(shop.units(mug()), (5, 0, 0));
}

#[test]
fn every_sold_out_line_is_named() {
    let mut shop = Shop::with_kettles(0);
    let gone = inventory::Adjust {
        quantity: -4,
        reason: None,
    };
    let stock = &shop.stock[&mug()];
    let events = Inventory::decide(stock, gone.into()).unwrap();
    let stock = events.iter().fold(stock.clone(), Inventory::evolve);
    shop.stock.insert(mug(), stock);
    shop.answer(authorised());
    assert_eq!(
        shop.order.call_off().unwrap().detail.as_deref(),
        Some("mug: 2 wanted, 1 available; kettle: 1 wanted, 0 available")
    );
}

#[test]
fn an_order_whose_hold_has_come_and_gone_is_not_held_again() {
    let mut shop = Shop::open();
    let stock = &shop.stock[&mug()];
    let id = crate::fixtures::order(1);
    let past = [
        event_schema::inventory::Held {
            order_id: id,
            quantity: 2,
            expires_at: at(0),
        }
        .into(),
        event_schema::inventory::Released {
            order_id: id,
            quantity: 2,
            cause: inventory::ReleaseCause::Expired,
        }
        .into(),
    ];
    let stock = past.iter().fold(stock.clone(), Inventory::evolve);
    shop.stock.insert(mug(), stock);
    shop.answer(authorised());
    assert_eq!(shop.status(), Status::Unwinding);
    assert_eq!(
        shop.order.call_off().unwrap().detail.as_deref(),
        Some("mug: the order's hold has ended")
    );
}

#[test]
fn an_order_called_off_while_the_money_is_being_set_aside_makes_sure_that_nothing_lands() {
    let mut shop = Shop::open();
    let in_flight = shop.answered(authorised());
    let batch = shop.cancel();
    assert_eq!(
        types(&batch),
        [
            "fulfilment.unwinding_began",
            "fulfilment.intended",
            "order.cancelling",
            "payment.void_requested"
        ]
    );
    assert_eq!(
        shop.saga().step(Step::Authorise).unwrap().state,
        StepState::Overtaken
    );
    assert_eq!(
        shop.react(in_flight),
        Ok(Decision::default()),
        "the direction sticks"
    );
    shop.answer(Answer::NothingToVoid);
    assert_put_back(&shop, CancelReason::CustomerCancelled);
}

#[test]
fn an_order_can_be_called_off_while_the_customer_is_on_the_providers_page() {
    let mut shop = Shop::at_checkout();
    shop.cancel();
    assert_eq!(shop.saga.pending().unwrap().step, Step::Void);
    shop.answer(Answer::Voided);
    assert_put_back(&shop, CancelReason::CustomerCancelled);
}

#[test]
fn an_order_can_be_called_off_while_nobody_knows_whether_the_money_is_set_aside() {
    let mut shop = Shop::open();
    shop.answer(unknown());
    shop.cancel();
    shop.answer(Answer::Voided);
    assert_put_back(&shop, CancelReason::CustomerCancelled);
    assert_eq!(shop.payment.unknown_step, None);
}

#[test]
fn an_operator_calls_an_order_off_with_his_own_reason() {
    let mut shop = Shop::open();
    let reason = CancelReason::OperatorAborted;
    shop.input(Input::CancelRequested {
        reason,
        detail: Some("asked by phone".into()),
    });
    shop.answer(Answer::Voided);
    assert_put_back(&shop, reason);
    assert_eq!(
        shop.order.call_off().unwrap().detail.as_deref(),
        Some("asked by phone")
    );
}

#[test]
fn once_the_captures_intent_is_recorded_it_is_too_late_to_call_the_order_off() {
    let mut shop = Shop::open();
    shop.answer(authorised());
    assert_eq!(shop.react(cancel()), Err(Rejection::TooLate));
    shop.answer(unknown());
    assert_eq!(
        shop.react(cancel()),
        Err(Rejection::TooLate),
        "also while nobody knows"
    );
    shop.answer(captured());
    assert_eq!(
        shop.react(cancel()),
        Err(Rejection::TooLate),
        "also after the end"
    );
}

#[test]
fn calling_an_order_off_again_changes_nothing() {
    let mut shop = Shop::open();
    shop.cancel();
    assert_eq!(shop.cancel(), Decision::default());
    shop.answer(Answer::Voided);
    assert_eq!(shop.cancel(), Decision::default());
}

#[test]
fn an_order_that_is_not_paid_in_time_is_called_off() {
    let mut shop = Shop::at_checkout();
    let paid_at_the_last_moment = shop.answered(authorised());
    let batch = shop.wake();
    assert_eq!(
        types(&batch),
        [
            "fulfilment.unwinding_began",
            "fulfilment.intended",
            "order.cancelling",
            "payment.void_requested"
        ]
    );
    assert_eq!(
        shop.react(paid_at_the_last_moment),
        Ok(Decision::default()),
        "one winner"
    );
    shop.answer(Answer::Voided);
    assert_put_back(&shop, CancelReason::PaymentExpired);
}

#[test]
fn a_capture_refused_for_good_puts_the_stock_back_at_once_and_lets_the_money_go() {
    let mut shop = Shop::open();
    shop.answer(authorised());
    let batch = shop.answer(Answer::Refused {
        code: "charge_expired".into(),
        message: "The hold expired.".into(),
    });
    assert_eq!(
        types(&batch),
        [
            "fulfilment.step_ended",
            "fulfilment.unwinding_began",
            "fulfilment.step_ended",
            "fulfilment.intended",
            "order.cancelling",
            "payment.capture_refused",
            "payment.void_requested",
            "inventory.released",
            "inventory.released",
        ]
    );
    let Stage::Unwinding(unwinding) = &shop.saga().stage else {
        panic!("it unwinds")
    };
    assert_eq!(
        (&unwinding.plan[..], &unwinding.due[..]),
        (&[Step::Release, Step::Void][..], &[Step::Void][..])
    );
    assert_eq!(
        (shop.units(mug()), shop.units(kettle())),
        ((5, 0, 0), (3, 0, 0))
    );
    assert_eq!(
        shop.cancel(),
        Decision::default(),
        "it is being called off already"
    );
    shop.answer(Answer::Voided);
    assert_put_back(&shop, CancelReason::PaymentDeclined);
}

#[test]
fn money_taken_although_the_order_was_called_off_is_given_back() {
    let mut shop = Shop::with_kettles(0);
    shop.answer(authorised());
    let batch = shop.answer(already_captured());
    assert_eq!(
        types(&batch),
        [
            "fulfilment.step_ended",
            "fulfilment.intended",
            "payment.captured",
            "payment.refund_requested"
        ]
    );
    assert_eq!(shop.payment.status, payment::Status::RefundPending);
    let Stage::Unwinding(unwinding) = &shop.saga().stage else {
        panic!("it unwinds")
    };
    assert_eq!(
        (&unwinding.plan[..], &unwinding.due[..]),
        (&[Step::Void][..], &[Step::Refund][..])
    );
    let batch = shop.answer(refunded());
    assert_eq!(
        types(&batch),
        [
            "fulfilment.step_ended",
            "fulfilment.compensated",
            "order.cancelled",
            "payment.refunded"
        ]
    );
    assert_put_back(&shop, CancelReason::OutOfStock);
    assert_eq!(shop.payment.status, payment::Status::Refunded);
}

#[test]
fn money_that_nobody_had_heard_of_is_given_back_too() {
    let mut shop = Shop::open();
    shop.cancel();
    let batch = shop.answer(already_captured());
    assert_eq!(
        types(&batch),
        [
            "fulfilment.step_ended",
            "fulfilment.intended",
            "payment.authorised",
            "payment.captured",
            "payment.refund_requested"
        ]
    );
    shop.answer(refunded());
    assert_put_back(&shop, CancelReason::CustomerCancelled);
    assert_eq!(shop.payment.ledger().unwrap().refunded, eur(4200));
}

#[test]
fn a_saga_is_not_believed_to_have_ended_while_a_compensation_is_due() {
    let mut shop = Shop::with_kettles(0);
    shop.answer(authorised());
    let ended = event::Compensated {
        reason: CancelReason::OutOfStock,
    };
    let after = Fulfilment::evolve(shop.saga.clone(), &ended.into());
    assert_eq!(after.saga().unwrap().status(), Status::Unwinding);
    let after = Fulfilment::evolve(shop.saga.clone(), &event::Completed {}.into());
    assert_eq!(after.saga().unwrap().status(), Status::Unwinding);
}

#[test]
fn operators_read_what_is_still_due_and_why() {
    let mut shop = Shop::open();
    shop.answer(authorised());
    shop.answer(refused());
    let seen = view(&shop.saga, &shop.payment).unwrap();
    assert_eq!(
        (seen.status, seen.reason),
        (Status::Unwinding, Some(CancelReason::PaymentDeclined))
    );
    assert_eq!(
        seen.steps
            .iter()
            .map(|step| (step.step, step.state))
            .collect::<Vec<_>>(),
        [
            (Step::Authorise, "done"),
            (Step::Hold, "done"),
            (Step::Capture, "refused"),
            (Step::Release, "done"),
            (Step::Void, "in_flight")
        ]
    );
    assert!(
        seen.stock
            .iter()
            .all(|line| (line.held, line.sold) == (0, 0))
    );
    shop.answer(Answer::Voided);
    let seen = view(&shop.saga, &shop.payment).unwrap();
    assert_eq!(
        (seen.status, seen.reason),
        (Status::Compensated, Some(CancelReason::PaymentDeclined))
    );
    assert!(matches!(shop.order, order::State::Cancelled(..)));
}
