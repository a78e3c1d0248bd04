//! Every story of a shop: nothing is wrong with it, now and at every position, while it runs and when it has ended.

use domain::fulfilment::{Action, Answer, Input, OperatorCommand, Step};
use event_schema::ids::CommandId;
use event_schema::order::{CancelReason, PaymentMethod};
use serde_json::Value;
use testkit::Shop;
use uuid::Uuid;

use crate::WAYBILL;
use crate::log::{Log, authorised, captured, refused, total};

/// Completed, declined, sold out, cancelled, expired, closed by an operator, put back after a late success; and two that
/// are under way, and one that waits for a person.
async fn every_story(log: &Log) {
    let kettle = log.stocked(10).await;
    let completed = log.placed(kettle, 2).await;
    log.answer(completed, authorised(2)).await;
    log.answer(completed, captured(2)).await;

    let declined = log.placed(kettle, 1).await;
    log.answer(declined, refused()).await;

    let sold_out = log.placed(kettle, 11).await;
    log.answer(sold_out, authorised(11)).await;
    log.answer(sold_out, Answer::Voided).await;

    let cancelled = log.placed(kettle, 1).await;
    let cancel = Input::CancelRequested {
        reason: CancelReason::CustomerCancelled,
        detail: None,
    };
    log.input(cancelled, cancel).await;
    log.answer(cancelled, Answer::Voided).await;

    let expired = log.placed_by(kettle, 1, PaymentMethod::Checkout).await;
    let page = Answer::ActionRequired {
        checkout_url: "https://pay.example/cs_1".into(),
        session_id: Some("cs_1".into()),
        provider_payment_id: None,
    };
    log.answer(expired, page).await;
    log.deadline_passes(expired).await;
    log.answer(expired, Answer::NothingToVoid).await;

    let stuck = async || {
        let order = log.placed(kettle, 1).await;
        log.answer(order, authorised(1)).await;
        log.answer(order, refused()).await;
        let taken = Answer::AlreadyCaptured {
            provider_payment_id: "pi_1".into(),
            amount: total(1),
        };
        log.answer(order, taken).await;
        log.answer(order, refused()).await;
        order
    };
    let by_operator = stuck().await;
    let skip = OperatorCommand {
        command_id: CommandId(Uuid::now_v7()),
        action: Action::Skip { step: Step::Refund },
        reason: "paid back in cash".into(),
        quarantine: None,
    };
    log.input(by_operator, Input::Commanded(skip)).await;
    stuck().await;

    // It came to rest, and then the provider says that it was paid after all.
    let late = log.placed(kettle, 1).await;
    log.answer(late, refused()).await;
    let success = Input::Answered {
        step: Step::Authorise,
        effect_id: log.effect(late, Step::Authorise).await,
        answer: authorised(1),
    };
    log.input(late, success).await;
    log.answer(late, Answer::Voided).await;

    log.placed(kettle, 1).await;
    let being_paid = log.placed(kettle, 3).await;
    log.answer(being_paid, authorised(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_every_story_balances_as_it_stands_and_at_every_position() {
    let log = Log::new().await;
    every_story(&log).await;
    for every in [&[][..], &["--every-position"]] {
        let report = log.report(every).await;
        assert_eq!(report["clean"], true, "{report:#}");
        assert_eq!(report["every_position"], !every.is_empty());
        assert_eq!(report["offenders"], Value::Array(vec![]));
        assert_eq!(report["position"], log.end().await);
        let count = |status: &str| report["sagas"][status]["count"].as_u64().unwrap();
        let by_status = [
            ("running", 2),
            ("unwinding", 0),
            ("needs_operator", 1),
            ("completed", 1),
            ("compensated", 5),
            ("closed", 1),
        ];
        for (status, expected) in by_status {
            assert_eq!(count(status), expected, "{status}: {report:#}");
        }
        assert_eq!(
            (&report["kept"]["orders"], &report["kept"]["orders_at_rest"]),
            (&3.into(), &7.into()),
            "what has ended and balances is hardly kept"
        );
        assert!(report["sagas"]["running"]["oldest_seconds"].is_u64());
        assert_eq!(report["sagas"]["unwinding"]["oldest_seconds"], Value::Null);
        let holds = &report["holds"];
        assert_eq!(
            [
                &holds["begun"],
                &holds["running"],
                &holds["committed"],
                &holds["released"]
            ],
            [4, 1, 1, 2],
            "{report:#}"
        );
        let units = &report["stock"]["units"];
        assert_eq!(
            [
                &units["received"],
                &units["available"],
                &units["held"],
                &units["sold"]
            ],
            [10, 5, 3, 2],
            "{report:#}"
        );
    }
    let said = log.audit(&[]).await;
    assert_eq!(said.code, 0, "{said:?}");
    for line in [
        "sagas   10",
        "needs_operator 1, the oldest for",
        "everything balances",
    ] {
        assert!(said.out.contains(line), "{line}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_looked_at_up_to_any_position_is_sound_there_too() {
    let log = Log::new().await;
    let kettle = log.stocked(10).await;
    let order = log.placed(kettle, 2).await;
    log.answer(order, authorised(2)).await;
    log.answer(order, captured(2)).await;
    let end = log.end().await;
    for to in 1..=end {
        // A position in the middle of a command is no place to judge: the rest of the command is read too.
        let report = log.report(&["--to", &to.to_string()]).await;
        assert_eq!(report["clean"], true, "to {to}: {report:#}");
        assert_eq!(report["position"], to);
    }
    let before = log.report(&["--to", "1"]).await;
    assert_eq!(
        (&before["events"], &before["sagas"]["running"]["count"]),
        (&1.into(), &0.into())
    );

    let beyond = log.audit(&["--to", &(end + 1).to_string()]).await;
    assert_eq!(beyond.code, 2, "{beyond:?}");
    assert!(
        beyond
            .err
            .contains(&format!("the log ends at position {end}")),
        "{beyond:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_not_there_is_neither_sound_nor_not() {
    let log = Log::without_a_log().await;
    let said = log.audit(&[]).await;
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("could not be checked"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_runs_is_sound() {
    let mut shop = Shop::start(WAYBILL, &[]).await;
    let (partner, lamp) = (shop.exported("PARTNER"), shop.exported("LAMP"));
    let bell = shop.exported("BELL");
    let customer = shop.customer();
    let lines = serde_json::json!([{ "product_id": bell, "quantity": 1 }]);
    let quote = customer.check(&partner, &lines).await.ok();
    let last = customer.order(&partner, &bell, 1, "pm_card_visa").await;
    customer.order_becomes(&last, "confirmed").await;
    let body = serde_json::json!({
        "quote_id": quote["quote_id"], "payment": { "method": "card", "token": "pm_card_visa" },
    });
    let sold_out = customer.post("/v1/orders", &body).await.ok();
    let sold_out = sold_out["order_id"].as_str().unwrap().to_owned();
    let declined = customer
        .order(&partner, &lamp, 1, "pm_card_visa_chargeDeclined")
        .await;
    let good = customer.order(&partner, &lamp, 2, "pm_card_visa").await;
    customer.order_becomes(&good, "confirmed").await;
    for order in [&sold_out, &declined] {
        customer.order_becomes(order, "cancelled").await;
    }
    for arguments in [
        &["audit", "--json"][..],
        &["audit", "--json", "--every-position"],
    ] {
        let report: Value = serde_json::from_str(&shop.operator(arguments).await).unwrap();
        assert_eq!(report["clean"], true, "{report:#}");
        assert_eq!(report["sagas"]["completed"]["count"], 2, "{report:#}");
        assert_eq!(report["sagas"]["compensated"]["count"], 2, "{report:#}");
    }
    shop.stop().await;
}
