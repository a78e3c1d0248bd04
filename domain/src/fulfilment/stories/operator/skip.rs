//! What was settled outside ends the saga as closed, and leaves the provider's books alone.

use super::{assert_closed, every_stuck_shop, refused_at, rejection, stuck_step};
use crate::fixtures::{eur, kettle, mug};
use crate::fulfilment::fixtures::{Shop, ordered, types, unknown};
use crate::fulfilment::stories::unsettled::exhaust;
use crate::fulfilment::{Action, OperatorRejection, Status, Step, StepState, view};
use crate::{order, payment};

#[test]
fn a_refund_settled_outside_ends_the_order_and_leaves_the_providers_books_alone() {
    let mut shop = refused_at(Step::Refund);
    let batch = shop.order_by_operator(ordered(1, Action::Skip { step: Step::Refund }));
    assert_eq!(
        types(&batch),
        [
            "fulfilment.operator_commanded",
            "fulfilment.closed",
            "order.cancelled",
            "payment.settled_outside"
        ]
    );
    assert_closed(&shop, &[]);
    assert_eq!(
        shop.payment.status,
        payment::Status::Refunded,
        "the customer has the money"
    );
    let ledger = shop.payment.ledger().unwrap();
    assert_eq!((ledger.captured, ledger.refunded), (eur(4200), eur(0)));
    assert_eq!(shop.payment.outside().unwrap().returned, eur(4200));
    assert!(matches!(shop.order, order::State::Cancelled(..)));
    assert_eq!(
        shop.saga().step(Step::Refund).unwrap().state,
        StepState::Skipped
    );
    assert_eq!(shop.offences(), []);
}

#[test]
fn every_stuck_step_can_be_settled_outside_and_then_the_saga_is_closed() {
    for mut shop in every_stuck_shop() {
        let step = stuck_step(&shop);
        shop.order_by_operator(ordered(1, Action::Skip { step }));
        assert_closed(&shop, &[]);
        let backwards = matches!(step, Step::Void | Step::Refund);
        assert_eq!(
            matches!(shop.order, order::State::Cancelled(..)),
            backwards,
            "{step}"
        );
        assert_eq!(
            matches!(shop.order, order::State::Confirmed(_)),
            !backwards,
            "{step}"
        );
        let sold = |quantity| if backwards { 0 } else { quantity };
        let mugs = if step == Step::Commit { 0 } else { sold(2) };
        assert_eq!(
            (shop.units(mug()).2, shop.units(kettle()).2),
            (mugs, sold(1)),
            "{step}: what is there is sold"
        );
        assert_eq!(shop.offences(), [], "{step}");
        let seen = view(&shop.saga, &shop.payment).unwrap();
        let skipped = seen.steps.iter().find(|seen| seen.step == step).unwrap();
        assert_eq!((seen.status, skipped.state), (Status::Closed, "skipped"));
        assert_eq!(
            (seen.left_due.as_slice(), seen.closed_because.as_deref()),
            (&[][..], Some("the customer called"))
        );
        assert!(seen.stock.iter().all(|line| line.held == 0), "{step}");
    }
}

#[test]
fn money_that_came_by_other_means_buys_only_what_is_in_stock() {
    let mut shop = Shop::with_kettles(0);
    exhaust(&mut shop, &unknown());
    let skip = Action::Skip {
        step: Step::Authorise,
    };
    assert_eq!(
        rejection(&shop, ordered(1, skip)),
        OperatorRejection::CannotSkip {
            step: Step::Authorise,
            why: "kettle: 1 wanted, 0 available".into()
        }
    );
}
