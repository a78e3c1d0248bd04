//! The time of a hold, and of a customer, is over: one winner, whoever comes first, and a unit is sold once.

use event_schema::{Decider, inventory as stock_events};

use super::unsettled::waiting_at;
use crate::fixtures::{at, kettle, mug, order as order_id};
use crate::fulfilment::fixtures::{
    Shop, authorised, cancel, captured, ordered, refused, types, unknown,
};
use crate::fulfilment::{Action, Answer, Decision, Input, Rejection, Stage, Status, Step};
use crate::inventory::{Inventory, ReleaseCause};

const LONG_AFTER_MS: i64 = 24 * 60 * 60_000;

fn held_by_somebody() -> stock_events::Event {
    stock_events::Held {
        order_id: order_id(1),
        quantity: 2,
        expires_at: at(1_000),
    }
    .into()
}

#[test]
fn a_hold_that_is_being_paid_for_does_not_expire() {
    let mut shop = waiting_at(Step::Capture);
    assert!(
        shop.pass(LONG_AFTER_MS)
            .input(Input::HoldExpired)
            .is_empty()
    );
    assert_eq!(shop.units(mug()), (3, 2, 0));
    shop.answer(unknown());
    assert!(
        shop.pass(LONG_AFTER_MS)
            .input(Input::HoldExpired)
            .is_empty()
    );
    shop.answer(captured());
    assert_eq!(shop.status(), Status::Completed);
    assert!(
        shop.pass(LONG_AFTER_MS)
            .input(Input::HoldExpired)
            .is_empty(),
        "what is sold does not expire"
    );
    assert_eq!(shop.units(mug()), (3, 0, 2));
}

#[test]
fn a_hold_that_was_put_back_does_not_expire_again() {
    let mut shop = waiting_at(Step::Capture);
    shop.answer(refused());
    assert!(
        shop.pass(LONG_AFTER_MS)
            .input(Input::HoldExpired)
            .is_empty()
    );
    shop.answer(Answer::Voided);
    assert!(shop.input(Input::HoldExpired).is_empty());
    assert_eq!(
        (shop.units(mug()), shop.units(kettle())),
        ((5, 0, 0), (3, 0, 0))
    );
}

#[test]
fn a_hold_that_outlives_its_saga_is_put_back_when_its_time_is_over() {
    let mut declined = Shop::open();
    declined.answer(refused());
    let mut closed = waiting_at(Step::Void);
    closed.answer(refused());
    closed.order_by_operator(ordered(1, Action::Close));
    for mut shop in [declined, closed] {
        // A history that the saga has not written: nobody else may put its hold back.
        let stock = Inventory::evolve(shop.stock[&mug()].clone(), &held_by_somebody());
        shop.stock.insert(mug(), stock);
        shop.now_ms = 999;
        assert_eq!(
            shop.react(Input::HoldExpired),
            Ok(Decision::default()),
            "its time is not over"
        );
        shop.now_ms = 1_000;
        let decision = shop.react(Input::HoldExpired).unwrap();
        assert_eq!(types(&decision), ["inventory.released"]);
        let released = stock_events::Released {
            order_id: order_id(1),
            quantity: 2,
            cause: ReleaseCause::Expired,
        };
        assert_eq!(decision.stock[&mug()], [released.into()]);
    }
}

#[test]
fn a_hold_from_before_the_point_of_no_return_calls_the_order_off() {
    let mut shop = Shop::open();
    let stock = Inventory::evolve(shop.stock[&mug()].clone(), &held_by_somebody());
    shop.stock.insert(mug(), stock);
    assert_eq!(shop.react(Input::HoldExpired), Ok(Decision::default()));
    let decision = shop.pass(1_000).react(Input::HoldExpired).unwrap();
    assert_eq!(
        types(&decision),
        [
            "fulfilment.unwinding_began",
            "fulfilment.intended",
            "order.cancelling",
            "payment.void_requested",
            "inventory.released",
        ]
    );
}

#[test]
fn stock_that_was_not_loaded_is_not_taken_for_expired() {
    let mut shop = Shop::open();
    shop.answer(refused());
    shop.stock.clear();
    assert_eq!(
        shop.react(Input::HoldExpired),
        Err(Rejection::StockNotLoaded { product_id: mug() })
    );
}

#[test]
fn an_unpaid_orders_end_and_its_payment_in_the_same_instant_have_one_winner() {
    let last_moment = |shop: &mut Shop| {
        let deadline = shop.saga.deadline().unwrap();
        shop.now_ms = deadline.as_millisecond() - at(0).as_millisecond();
    };
    // The payment is recorded first.
    let mut shop = Shop::at_checkout();
    last_moment(&mut shop);
    let paid = shop.answered(authorised());
    shop.input(paid.clone());
    assert!(shop.input(Input::DeadlinePassed).is_empty());
    assert_eq!(shop.saga.pending().unwrap().step, Step::Capture);
    assert_eq!(shop.react(cancel()), Err(Rejection::TooLate));

    // The time is over first: what was paid is let go.
    let mut shop = Shop::at_checkout();
    last_moment(&mut shop);
    let paid = shop.answered(authorised());
    shop.input(Input::DeadlinePassed);
    assert!(shop.input(paid).is_empty());
    shop.answer(Answer::Voided);
    assert!(matches!(shop.saga().stage, Stage::Compensated { .. }));
    assert_eq!(shop.units(mug()), (5, 0, 0));
}

#[test]
fn a_cancel_and_the_answer_that_leads_to_the_capture_have_one_winner() {
    let mut shop = Shop::open();
    let authorises = shop.answered(authorised());
    shop.cancel();
    assert!(shop.input(authorises).is_empty());
    assert_eq!(shop.status(), Status::Unwinding);

    let mut shop = Shop::open();
    shop.answer(authorised());
    assert_eq!(shop.react(cancel()), Err(Rejection::TooLate));
    shop.answer(captured());
    assert_eq!(shop.status(), Status::Completed);

    // Too late until the provider refuses the capture for good; then it is being called off anyway.
    let mut shop = Shop::open();
    shop.answer(authorised());
    shop.answer(refused());
    assert_eq!(shop.cancel(), Decision::default());
}
