//! Operators' commands: what each does where it fits, how it is refused where it does not, and that each acts once.

mod dry_run;
mod end;
mod once;
mod refused;
mod resolve;
mod retry;
mod skip;

use event_schema::inventory as stock_events;

use super::unsettled::{OUTSIDE, exhaust, waiting_at};
use crate::fixtures::{mug, order as order_id};
use crate::fulfilment::fixtures::{Shop, captured, refused, unknown};
use crate::fulfilment::{
    Action, Input, OperatorCommand, OperatorRejection, Rejection, Stage, Status, Step, Truth,
};

const RETRY: Action = Action::Retry { step: None };

fn resolve(step: Step, truth: Truth) -> Action {
    Action::Resolve {
        step,
        truth,
        evidence: "pi_7 and re_7 in the dashboard".into(),
    }
}

/// A shop that waits for a person because nobody knows what became of a step outside.
fn unknown_at(step: Step) -> Shop {
    let mut shop = waiting_at(step);
    exhaust(&mut shop, &unknown());
    shop
}

/// A shop whose money cannot be let go, or not be given back.
fn refused_at(step: Step) -> Shop {
    let mut shop = waiting_at(step);
    shop.answer(refused());
    assert_eq!(shop.status(), Status::NeedsOperator);
    shop
}

/// A shop whose money is taken for mugs that somebody else has put back.
pub(in crate::fulfilment::stories) fn nothing_to_sell() -> Shop {
    let mut shop = waiting_at(Step::Capture);
    let released = stock_events::Released {
        order_id: order_id(1),
        quantity: 2,
        cause: stock_events::ReleaseCause::Expired,
    };
    shop.foreign(mug(), released.into());
    shop.answer(captured());
    assert_eq!(shop.saga().stuck.as_ref().unwrap().step, Step::Commit);
    shop
}

fn every_stuck_shop() -> Vec<Shop> {
    let mut shops: Vec<Shop> = OUTSIDE.into_iter().map(unknown_at).collect();
    shops.extend([Step::Void, Step::Refund].map(refused_at));
    shops.push(nothing_to_sell());
    shops
}

fn stuck_step(shop: &Shop) -> Step {
    shop.saga().stuck.as_ref().unwrap().step
}

#[track_caller]
fn rejection(shop: &Shop, command: OperatorCommand) -> OperatorRejection {
    match shop.react(Input::Commanded(command.clone())) {
        Err(Rejection::Operator(rejection)) => rejection,
        other => panic!("{command:?}: {other:?}"),
    }
}

#[track_caller]
fn assert_closed(shop: &Shop, left_due: &[Step]) {
    let Stage::Closed(ending) = &shop.saga().stage else {
        panic!("it is not closed: {:?}", shop.saga().stage)
    };
    assert_eq!(ending.left_due, left_due);
    assert_eq!(ending.reason, "the customer called");
    assert_eq!(shop.status(), Status::Closed);
    assert_eq!((shop.saga.deadline(), shop.saga.pending()), (None, None));
}
