//! Logs with something wrong: each offender is named, with where it shows and what it is.

use domain::fulfilment::{Answer, Fulfilment};
use domain::inventory::{self, Inventory};
use domain::payment;
use event_schema::fulfilment as saga;
use event_schema::ids::{OrderId, ProductId};
use event_schema::inventory as stock;
use event_schema::{EventSet as _, Subject, customer, payment as money};
use serde_json::Value;
use uuid::Uuid;

use crate::log::{Log, authorised, captured, eur, refused, total};

/// The offenders' words, in the order in which they are told.
fn codes(report: &Value) -> Vec<&str> {
    let offenders = report["offenders"].as_array().unwrap();
    offenders
        .iter()
        .map(|o| o["code"].as_str().unwrap())
        .collect()
}

#[track_caller]
fn only(report: &Value) -> &Value {
    assert_eq!(codes(report).len(), 1, "{report:#}");
    assert_eq!(report["offenders_total"], 1);
    &report["offenders"][0]
}

/// A log in which one order of a kettle went through.
async fn completed() -> (Log, ProductId, Uuid) {
    let log = Log::new().await;
    let kettle = log.stocked(10).await;
    let order = log.placed(kettle, 1).await;
    log.answer(order, authorised(1)).await;
    log.answer(order, captured(1)).await;
    (log, kettle, order)
}

fn taken() -> payment::Event {
    money::Captured { amount: total(1) }.into()
}

fn released(order: Uuid) -> inventory::Event {
    stock::Released {
        order_id: OrderId(order),
        quantity: 1,
        cause: stock::ReleaseCause::Compensated,
    }
    .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_is_taken_twice_is_named_with_its_saga_and_what_to_do() {
    let (log, _, order) = completed().await;
    log.paid(order, vec![taken()]).await;
    let end = log.end().await;
    for every in [&[][..], &["--every-position"]] {
        let report = log.report(every).await;
        assert_eq!(
            codes(&report),
            ["ledger_out_of_bounds", "paid_twice"],
            "{report:#}"
        );
        for offender in report["offenders"].as_array().unwrap() {
            assert_eq!(offender["saga"], order.to_string());
            assert_eq!(offender["position"], end);
            assert_eq!(
                offender["show"],
                format!("nats req saga.show {order} --raw")
            );
            assert!(
                offender["next"]
                    .as_str()
                    .unwrap()
                    .contains("payment provider")
            );
        }
        let what = &report["offenders"][1]["what"];
        assert_eq!(*what, "42.00 EUR are kept for an order of 21.00 EUR");
    }
    let said = log.audit(&[]).await;
    assert_eq!(said.code, 1, "{said:?}");
    for told in [
        format!("saga {order}, position {end}: paid_twice"),
        "42.00 EUR are kept for an order of 21.00 EUR".into(),
        "next: look the order up at the payment provider".into(),
        format!("nats req saga.show {order} --raw"),
        "2 offenders".into(),
    ] {
        assert!(said.out.contains(&told), "{told}: {said:?}");
    }
    // Before that everything was well.
    let before = log.report(&["--to", &(end - 1).to_string()]).await;
    assert_eq!(before["clean"], true, "{before:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn units_that_are_put_back_twice_are_named_for_the_saga_and_for_the_stock() {
    let log = Log::new().await;
    let kettle = log.stocked(10).await;
    let order = log.placed(kettle, 1).await;
    log.answer(order, authorised(1)).await;
    log.answer(order, refused()).await;
    log.answer(order, Answer::Voided).await;
    assert_eq!(log.report(&[]).await["clean"], true);
    log.append::<Inventory>(kettle.uuid(), vec![released(order)])
        .await;
    let report = log.report(&[]).await;
    assert_eq!(
        codes(&report),
        [
            "holds_contradict",
            "stock_below_nothing",
            "ended_without_hold"
        ],
        "{report:#}"
    );
    let stock = &report["offenders"][0];
    assert_eq!(stock["product"], kettle.to_string());
    assert_eq!(
        stock["show"],
        format!("waybill events show inventory {kettle}")
    );
    assert_eq!(report["offenders"][2]["saga"], order.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_completed_for_less_money_is_named() {
    let log = Log::new().await;
    let kettle = log.stocked(10).await;
    let order = log.placed(kettle, 1).await;
    log.answer(order, authorised(1)).await;
    let mut decision = log.answered(order, captured(1)).await;
    for event in &mut decision.payment {
        if let payment::Event::Captured(captured) = event {
            captured.amount = eur(1);
        }
    }
    log.record(order, decision).await;
    let report = log.report(&[]).await;
    let offender = only(&report);
    assert_eq!(offender["code"], "not_paid");
    assert_eq!(offender["saga"], order.to_string());
    assert_eq!(
        offender["what"],
        "0.01 EUR are kept for a confirmed order of 21.00 EUR"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_never_ends_is_named() {
    let log = Log::new().await;
    let kettle = log.stocked(10).await;
    let order = log.placed(kettle, 1).await;
    log.answer(order, authorised(1)).await;
    let mut decision = log.answered(order, refused()).await;
    assert!(
        !decision.stock.is_empty(),
        "the refusal puts the units back"
    );
    decision.stock.clear();
    log.record(order, decision).await;
    log.answer(order, Answer::Voided).await;
    let report = log.report(&[]).await;
    let offender = only(&report);
    assert_eq!(offender["code"], "hold_outlives_saga", "{report:#}");
    assert_eq!(offender["saga"], order.to_string());

    // And one that nobody has ordered.
    let nobody = Uuid::now_v7();
    let held = stock::Held {
        order_id: OrderId(nobody),
        quantity: 1,
        expires_at: event_schema::Timestamp::now(),
    };
    log.append::<Inventory>(kettle.uuid(), vec![held.into()])
        .await;
    let report = log.report(&[]).await;
    assert_eq!(
        codes(&report),
        ["hold_outlives_saga", "saga_missing"],
        "{report:#}"
    );
    assert_eq!(report["offenders"][1]["saga"], nobody.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_ends_with_something_due_is_named() {
    let log = Log::new().await;
    let kettle = log.stocked(10).await;
    let order = log.placed(kettle, 11).await;
    log.answer(order, authorised(11)).await;
    let ended = saga::Compensated {
        reason: event_schema::order::CancelReason::OutOfStock,
    };
    log.append::<Fulfilment>(order, vec![ended.into()]).await;
    let report = log.report(&[]).await;
    let offender = only(&report);
    assert_eq!(offender["code"], "ended_with_due", "{report:#}");
    assert!(
        offender["what"].as_str().unwrap().contains("Void"),
        "{report:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_wrong_for_a_while_shows_only_at_every_position() {
    let log = Log::new().await;
    let kettle = log.stocked(10).await;
    let order = log.placed(kettle, 1).await;
    log.answer(order, authorised(1)).await;
    // The capture's own batch, in two commands.
    let mut rest = log.answered(order, captured(1)).await;
    log.paid(order, std::mem::take(&mut rest.payment)).await;
    let between = log.end().await;
    log.record(order, rest).await;
    assert_eq!(log.report(&[]).await["clean"], true);
    let report = log.report(&["--every-position"]).await;
    let offender = only(&report);
    assert_eq!(offender["code"], "paid_and_forgotten");
    assert_eq!(offender["position"], between);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_read_is_an_offender_and_the_rest_is_judged() {
    let (log, kettle, order) = completed().await;
    let other = log.placed(kettle, 1).await;
    log.publish::<payment::Event>(order, 5, "payment.captured", b"garbage".to_vec())
        .await;
    let damaged = log.end().await;
    log.publish::<customer::Event>(Uuid::now_v7(), 1, "customer.not_invented_yet", vec![0x80])
        .await;
    let newer = log.end().await;
    // Not even an envelope.
    let subject = Subject::history(payment::Event::AGGREGATE, Uuid::now_v7());
    let nothing = async_nats::HeaderMap::new();
    log.publish_raw(subject.clone(), nothing, bytes::Bytes::from_static(b"?"))
        .await;
    let formless = log.end().await;
    // What is wrong elsewhere is found all the same.
    log.paid(other, vec![taken()]).await;
    let report = log.report(&["--every-position"]).await;
    assert_eq!(
        codes(&report)[..3],
        ["unreadable_event", "newer_event", "unreadable_event"],
        "{report:#}"
    );
    assert!(
        codes(&report)[3..].contains(&"ledger_out_of_bounds"),
        "{report:#}"
    );
    let told = &report["offenders"];
    assert_eq!(
        [
            &told[0]["position"],
            &told[1]["position"],
            &told[2]["position"]
        ],
        [damaged, newer, formless]
    );
    assert_eq!(told[0]["saga"], order.to_string());
    assert_eq!(told[0]["show"], format!("nats stream get EVENTS {damaged}"));
    assert_eq!(told[2]["saga"], subject.aggregate().unwrap().1.to_string());
    assert_eq!(report["unjudged"], 3);
    let all = told.as_array().unwrap();
    assert!(
        all[3..].iter().all(|o| o["saga"] == other.to_string()),
        "{report:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_with_a_hole_is_named_once() {
    let (log, kettle, _) = completed().await;
    let set = |low_stock_threshold| {
        inventory::Event::from(stock::ThresholdSet {
            low_stock_threshold,
        })
    };
    let version = 9;
    let payload = set(3).encode().unwrap();
    log.publish::<inventory::Event>(kettle.uuid(), version, "inventory.threshold_set", payload)
        .await;
    let payload = set(4).encode().unwrap();
    log.publish::<inventory::Event>(
        kettle.uuid(),
        version + 1,
        "inventory.threshold_set",
        payload,
    )
    .await;
    let report = log.report(&[]).await;
    let offender = only(&report);
    assert_eq!(offender["code"], "version_gap");
    assert_eq!(offender["position"], log.end().await - 1);
    let subject = Subject::history(inventory::Event::AGGREGATE, kettle.uuid());
    assert_eq!(offender["subject"], subject.to_string());
    assert_eq!(
        offender["what"],
        format!("{subject} goes on with version 9 where 4 is due")
    );
}
