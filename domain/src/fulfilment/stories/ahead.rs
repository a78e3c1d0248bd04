//! Going forward: the happy way, the customer's page, and answers that change nothing.

use event_schema::order::{self as order_events, CancelReason};
use event_schema::testing::given;
use event_schema::{Decider, Timestamp, fulfilment as event};

use crate::fixtures::{at, eur, kettle, mug, order as order_id};
use crate::fulfilment::fixtures::{
    Shop, action_required, already_captured, authorised, cancel, captured, price, refunded,
    refused, types,
};
use crate::fulfilment::{
    Answer, Decision, Event, Fulfilment, Input, Line, Phase, Rejection, Start, State, Status, Step,
    audit, definition, react,
};
use crate::fulfilment::{World, view};
use crate::{order, payment};

#[test]
fn a_paid_order_takes_three_batches() {
    let mut shop = Shop::open();
    assert_eq!(
        shop.history
            .iter()
            .map(event_schema::EventSet::event_type)
            .collect::<Vec<_>>(),
        ["fulfilment.started", "fulfilment.intended"]
    );
    assert_eq!(shop.payment.status, payment::Status::Pending);

    let second = shop.answer(authorised());
    assert_eq!(
        types(&second),
        [
            "fulfilment.step_ended",
            "fulfilment.step_ended",
            "fulfilment.intended",
            "payment.authorised",
            "payment.capture_requested",
            "inventory.held",
            "inventory.held",
        ]
    );
    assert_eq!(
        (shop.units(mug()), shop.units(kettle())),
        ((3, 2, 0), (2, 1, 0))
    );

    let third = shop.answer(captured());
    assert_eq!(
        types(&third),
        [
            "fulfilment.step_ended",
            "fulfilment.step_ended",
            "fulfilment.completed",
            "order.confirmed",
            "payment.captured",
            "inventory.committed",
            "inventory.committed",
        ]
    );
    assert_eq!(
        (shop.units(mug()), shop.units(kettle())),
        ((3, 0, 2), (2, 0, 1))
    );
    assert_eq!(shop.status(), Status::Completed);
    assert_eq!(shop.saga.deadline(), None);
}

#[test]
fn every_intent_names_its_effect_and_when_it_is_looked_into() {
    let mut shop = Shop::open();
    let effect_id = event_schema::ids::EffectId::of(order_id(1), "authorise", 1);
    assert_eq!(
        shop.history[1],
        event::Intended {
            step: Step::Authorise,
            effect_id,
            opening: 1,
            deadline: at(5_000)
        }
        .into()
    );
    assert_eq!(
        shop.payment.requested.as_ref().unwrap().effect_id,
        effect_id
    );
    shop.pass(1_000).answer(authorised());
    let open = shop.saga.pending().unwrap();
    assert_eq!(
        (open.step, open.phase),
        (Step::Capture, Phase::InFlight { until: at(6_000) })
    );
    assert_eq!(shop.payment.capture_effect, Some(open.effect_id));
}

#[test]
fn a_customer_who_pays_on_the_providers_page_in_time_gets_the_order() {
    let mut shop = Shop::placed(3, order_events::PaymentMethod::Checkout);
    let asked = shop.answer(action_required());
    assert_eq!(
        types(&asked),
        ["fulfilment.customer_awaited", "payment.action_required"]
    );
    assert_eq!(shop.saga.deadline(), Some(at(15 * 60_000)));
    assert_eq!(
        shop.payment.checkout_url.as_deref(),
        Some("https://pay.example/cs_1")
    );
    shop.pass(14 * 60_000).answer(authorised());
    shop.answer(captured());
    assert_eq!(shop.status(), Status::Completed);
}

#[test]
fn a_payment_that_is_recorded_before_its_expiry_wins_whatever_the_clock_says() {
    let mut shop = Shop::at_checkout();
    shop.pass(60 * 60_000).answer(authorised());
    assert_eq!(shop.status(), Status::Running);
}

#[test]
fn a_hold_does_not_expire_while_the_money_is_being_taken() {
    let mut shop = Shop::open();
    shop.answer(authorised());
    shop.wake();
    let long_after_the_hold = 24 * 60 * 60_000;
    assert_eq!(
        shop.pass(long_after_the_hold).input(Input::DeadlinePassed),
        Decision::default()
    );
    assert_eq!(shop.units(mug()), (3, 2, 0));
    shop.answer(captured());
    assert_eq!(shop.status(), Status::Completed);
}

#[test]
fn money_that_the_provider_took_at_once_is_captured_by_the_capture() {
    let mut shop = Shop::open();
    shop.answer(already_captured());
    assert_eq!(shop.saga.pending().unwrap().step, Step::Capture);
    shop.answer(captured());
    assert_eq!(shop.status(), Status::Completed);
}

#[test]
fn answers_to_other_effects_and_to_ended_steps_change_nothing() {
    let mut shop = Shop::open();
    let nothing = Ok(Decision::default());
    let old = shop.answered(authorised());
    let foreign = |step| Input::Answered {
        step,
        effect_id: event_schema::ids::EffectId::of(order_id(2), "authorise", 1),
        answer: authorised(),
    };
    assert_eq!(shop.react(foreign(Step::Authorise)), nothing);
    let mislabelled = Input::Answered {
        step: Step::Capture,
        effect_id: shop.effect(Step::Authorise),
        answer: captured(),
    };
    assert_eq!(shop.react(mislabelled), nothing);
    shop.answer(authorised());
    assert_eq!(shop.react(old.clone()), nothing, "authorised is over");
    let late_refusal = Input::Answered {
        step: Step::Authorise,
        effect_id: shop.effect(Step::Authorise),
        answer: refused(),
    };
    assert_eq!(
        shop.react(late_refusal),
        nothing,
        "an old failure after a success"
    );
    shop.answer(captured());
    assert_eq!(shop.react(old), nothing, "the saga is over");
}

#[test]
fn an_answer_that_a_step_cannot_have_decides_nothing() {
    let unfit = |step, answer| Err(Rejection::UnfitAnswer { step, answer });
    let mut shop = Shop::open();
    for (answer, name) in [
        (captured(), "captured"),
        (Answer::Voided, "voided"),
        (Answer::NothingToVoid, "nothing_to_void"),
        (refunded(), "refunded"),
    ] {
        assert_eq!(
            shop.react(shop.answered(answer)),
            unfit(Step::Authorise, name)
        );
    }
    shop.answer(authorised());
    for (answer, name) in [
        (authorised(), "authorised"),
        (action_required(), "action_required"),
        (Answer::Voided, "voided"),
        (Answer::NothingToVoid, "nothing_to_void"),
        (refunded(), "refunded"),
    ] {
        assert_eq!(
            shop.react(shop.answered(answer)),
            unfit(Step::Capture, name)
        );
    }
    shop.answer(refused());
    for (answer, name) in [
        (authorised(), "authorised"),
        (action_required(), "action_required"),
        (captured(), "captured"),
        (refunded(), "refunded"),
    ] {
        assert_eq!(shop.react(shop.answered(answer)), unfit(Step::Void, name));
    }
    shop.answer(already_captured());
    for (answer, name) in [
        (authorised(), "authorised"),
        (action_required(), "action_required"),
        (captured(), "captured"),
        (Answer::Voided, "voided"),
        (Answer::NothingToVoid, "nothing_to_void"),
        (already_captured(), "already_captured"),
    ] {
        assert_eq!(shop.react(shop.answered(answer)), unfit(Step::Refund, name));
    }
}

#[test]
fn a_deadline_that_has_not_come_changes_nothing() {
    let mut shop = Shop::open();
    assert_eq!(
        shop.pass(4_999).input(Input::DeadlinePassed),
        Decision::default()
    );
    let mut shop = Shop::at_checkout();
    assert_eq!(
        shop.pass(15 * 60_000 - 1).input(Input::DeadlinePassed),
        Decision::default()
    );
}

#[test]
fn a_saga_that_was_never_started_reacts_to_nothing() {
    let mut shop = Shop::open();
    shop.saga = State::NotStarted;
    for input in [cancel(), Input::DeadlinePassed] {
        assert_eq!(shop.react(input), Err(Rejection::NotStarted));
    }
}

#[test]
fn a_history_under_another_definition_is_not_decided_on() {
    let mut shop = Shop::open();
    let Event::Started(started) = shop.history[0].clone() else {
        unreachable!()
    };
    let def = event_schema::SagaDef {
        version: 2,
        digest: "0badc0de".into(),
    };
    shop.saga = Fulfilment::fold(&[
        event::Started {
            def: def.clone(),
            ..started
        }
        .into(),
        shop.history[1].clone(),
    ]);
    assert_eq!(Fulfilment::saga_def(&shop.saga), Some(def.clone()));
    assert_eq!(
        shop.react(cancel()),
        Err(Rejection::OtherDefinition { def })
    );
}

#[test]
fn stock_that_was_not_loaded_is_not_taken_for_sold_out() {
    let shop = Shop::open();
    let world = World {
        order_id: order_id(1),
        saga: &shop.saga,
        order: &shop.order,
        payment: &shop.payment,
        stock: &std::collections::BTreeMap::new(),
    };
    assert_eq!(
        react(&world, shop.answered(authorised()), at(0), &shop.policy),
        Err(Rejection::StockNotLoaded { product_id: mug() })
    );
}

#[test]
fn an_order_that_contradicts_its_saga_is_not_decided_on() {
    let mut shop = Shop::open();
    shop.answer(authorised());
    let called_off = order_events::Cancelled {
        reason: CancelReason::OperatorAborted,
        detail: None,
    };
    shop.order = order::Order::evolve(shop.order.clone(), &called_off.into());
    assert_eq!(
        shop.react(shop.answered(captured())),
        Err(Rejection::Order(order::Rejection::CalledOff))
    );
}

fn terms(deadline: Timestamp) -> Start {
    Start {
        order_id: order_id(1),
        provider: "sandbox".into(),
        method: order_events::PaymentMethod::Checkout,
        total: price(),
        lines: vec![Line {
            product_id: mug(),
            quantity: 2,
        }],
        deadline,
    }
}

fn started() -> [Event; 2] {
    let Start {
        order_id,
        provider,
        method,
        total,
        lines,
        deadline,
    } = terms(at(0));
    let effect_id = event_schema::ids::EffectId::of(order_id, "authorise", 1);
    [
        event::Started {
            def: definition(),
            provider,
            method,
            total,
            lines,
        }
        .into(),
        event::Intended {
            step: Step::Authorise,
            effect_id,
            opening: 1,
            deadline,
        }
        .into(),
    ]
}

#[test]
fn a_saga_starts_with_its_terms_and_its_first_intent() {
    given::<Fulfilment>([]).when(terms(at(0))).then(started());
}

#[test]
fn a_saga_starts_once() {
    given::<Fulfilment>(started())
        .when(terms(at(99)))
        .then_nothing();
    given::<Fulfilment>(started())
        .when(Start {
            provider: "other".into(),
            ..terms(at(0))
        })
        .then_rejected(Rejection::AlreadyStarted);
}

#[test]
fn operators_read_steps_money_and_stock_side_by_side() {
    let mut shop = Shop::open();
    assert_eq!(view(&State::NotStarted, &shop.payment), None);
    let states = |shop: &Shop| {
        let view = view(&shop.saga, &shop.payment).unwrap();
        view.steps
            .iter()
            .map(|step| (step.step, step.state, step.tries))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        states(&shop),
        [
            (Step::Authorise, "in_flight", 0),
            (Step::Hold, "waiting", 0),
            (Step::Capture, "waiting", 0),
            (Step::Commit, "waiting", 0)
        ]
    );
    shop.answer(authorised());
    shop.wake();
    assert_eq!(
        states(&shop),
        [
            (Step::Authorise, "done", 1),
            (Step::Hold, "done", 1),
            (Step::Capture, "backing_off", 1),
            (Step::Commit, "waiting", 0)
        ]
    );
    let seen = view(&shop.saga, &shop.payment).unwrap();
    assert_eq!(
        (seen.status, seen.step, seen.deadline),
        (Status::Running, Some(Step::Capture), shop.saga.deadline())
    );
    assert_eq!(seen.money.unwrap().authorised, price());
    assert_eq!(
        seen.stock
            .iter()
            .map(|line| (line.held, line.sold))
            .collect::<Vec<_>>(),
        [(2, 0), (1, 0)]
    );
    shop.answer(captured());
    let seen = view(&shop.saga, &shop.payment).unwrap();
    assert_eq!(
        (seen.status, seen.step, seen.deadline),
        (Status::Completed, None, None)
    );
    assert_eq!(seen.money.unwrap().captured, price());
    assert_eq!(
        seen.stock
            .iter()
            .map(|line| (line.held, line.sold))
            .collect::<Vec<_>>(),
        [(0, 2), (0, 1)]
    );
}

#[test]
fn money_of_a_completed_order_that_was_given_back_past_the_shop_is_in_the_books_and_found_by_the_audit()
 {
    let mut shop = Shop::open();
    shop.answer(authorised());
    shop.answer(captured());
    let told = |shop: &Shop, amount| Input::Answered {
        step: Step::Refund,
        effect_id: shop.effect(Step::Capture),
        answer: Answer::Refunded {
            refund_id: "re_1".into(),
            amount,
        },
    };
    let part = told(&shop, eur(100));
    assert_eq!(shop.input(part), Decision::default(), "a part of it");
    let all = told(&shop, eur(4200));
    let batch = shop.react(all.clone()).unwrap();
    assert_eq!(types(&batch), ["payment.refunded"]);
    let payment = batch
        .payment
        .iter()
        .fold(shop.payment.clone(), payment::Payment::evolve);
    assert_eq!(payment.status, payment::Status::Refunded);
    assert_eq!(shop.status(), Status::Completed);
    let found: Vec<&str> = audit::money_of(shop.saga(), &payment)
        .iter()
        .map(audit::Finding::code)
        .collect();
    assert_eq!(found, ["not_paid"]);
}
