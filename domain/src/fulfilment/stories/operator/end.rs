//! An operator calls an order off, or ends its saga as it is; also one whose handling keeps failing.

use event_schema::order::CancelReason;

use super::{
    RETRY, assert_closed, every_stuck_shop, refused_at, rejection, stuck_step, unknown_at,
};
use crate::fixtures::{kettle, mug};
use crate::fulfilment::fixtures::{Shop, captured, ordered, types, unknown};
use crate::fulfilment::stories::unsettled::waiting_at;
use crate::fulfilment::{
    Action, Answer, Cause, Input, OperatorCommand, OperatorRejection, Quarantine, Rejection,
    Status, Step,
};
use crate::order;

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
