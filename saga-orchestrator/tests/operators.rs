//! Operators and their sagas: told at once, told all, and what they order happens once, whatever dies meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::time::{Duration, Instant};

use domain::order;
use domain::payment::Status;
use event_schema::fulfilment::Cause;
use event_schema::order::{CancelReason, PaymentMethod};
use futures::StreamExt;
use saga_orchestrator::status::{SagaStatus, Verdict};
use serde_json::Value;
use support::orchestrator::Orchestrator;
use support::process::Process;
use support::sandbox::Provider;
use support::shop::{Shop, eur, eventually};
use uuid::Uuid;

/// A person is told within this.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// An order that is called off because it was sold out, whose money was taken in the provider's dashboard before we let
/// it go, and whose refund the provider refuses for good.
async fn stuck_refund(shop: &Shop, provider: &Provider) -> (Uuid, SagaStatus) {
    let product = shop.stocked(1).await;
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, Uuid::now_v7().as_bytes());
    provider.fail(id, "cancel", "drop_before", 3).await;
    let method = PaymentMethod::Card {
        token: "pm_waybill_refund_refused".into(),
    };
    let order = shop.place_as(id, product, 2, method).await;
    eventually("the void is under way", async || {
        provider.calls(order, "cancel").await > 0
    })
    .await;
    provider.capture_by_hand(order).await;
    let shown = shop.reaches(order, Verdict::NeedsOperator).await;
    assert_eq!(shown.cause, Some(Cause::RefundRefused));
    (order, shown)
}

#[tokio::test]
async fn money_that_a_person_gave_back_at_the_provider_is_owed_no_more_and_nobody_is_asked() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(1).await;
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, Uuid::now_v7().as_bytes());
    provider.fail(id, "cancel", "drop_before", 3).await;
    provider.fail(id, "refund", "drop_before", 5).await;
    let method = PaymentMethod::Card {
        token: "pm_card_visa".into(),
    };
    let order = shop.place_as(id, product, 2, method).await;
    eventually("the void is under way", async || {
        provider.calls(order, "cancel").await > 0
    })
    .await;
    provider.capture_by_hand(order).await;
    eventually("the refund is under way", async || {
        provider.calls(order, "refund").await > 0
    })
    .await;
    assert!(provider.refund_by_hand(order).await, "ours came first");
    let shown = shop.reaches(order, Verdict::Compensated).await;
    assert_eq!(shown.money.refunded, eur(4200));
    assert_eq!(shop.payment_state(order).await.status, Status::Refunded);
    assert!(shop.attention("refund_refused", order).await.is_none());
}

fn reason(state: &order::State) -> CancelReason {
    match state {
        order::State::Cancelled(_, call_off) => call_off.reason,
        other => panic!("not cancelled: {other:?}"),
    }
}

const WHY: (&str, &str) = ("Reason", "the bank has closed the account");

#[tokio::test]
async fn a_refund_that_is_refused_for_good_is_pushed_to_a_person_within_five_seconds() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let mut advisories = shop.client.subscribe("saga.advisory.>").await.unwrap();
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let (order, shown) = stuck_refund(&shop, &provider).await;
    let refused = shop.history(order).await.last().unwrap().recorded_at;
    let told = async {
        loop {
            let advisory = advisories.next().await.unwrap();
            if advisory.subject.as_str()
                == format!("saga.advisory.needs_operator.fulfilment.{order}")
            {
                return serde_json::from_slice::<Value>(&advisory.payload).unwrap();
            }
        }
    };
    let advisory = tokio::time::timeout(TOLD_WITHIN, told).await.unwrap();
    assert_eq!(advisory["cause"], "refund_refused");
    let line = shop.attention("refund_refused", order).await.unwrap();
    assert!(
        line.starts_with("refund: ") && line.contains("since"),
        "{line}"
    );
    let late = event_schema::Timestamp::now().duration_since(refused);
    assert!(late.as_secs() < 5, "{late:?}");
    // What does not depend on the refund is done.
    assert_eq!((shown.stock[0].held, shown.stock[0].sold), (0, 0));
    assert_eq!(
        shop.payment_state(order).await.status,
        Status::RefundPending
    );
    assert_eq!(shown.money.captured, eur(4200));
}

#[tokio::test]
async fn show_and_explain_say_what_happened_what_is_owed_and_what_one_may_do() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let (order, shown) = stuck_refund(&shop, &provider).await;
    let text = shop
        .ask("saga.show", &order.to_string(), false)
        .await
        .unwrap();
    assert!(text.contains("NEEDS OPERATOR"), "{text}");
    assert!(text.contains("-> 42.00 EUR owed to the customer"), "{text}");
    assert!(
        text.contains("you may  retry refund | resolve refund | skip refund | close"),
        "{text}"
    );
    let refund = shown
        .steps
        .iter()
        .find(|step| step.state == "stuck")
        .unwrap();
    let effect = refund.effect_id.unwrap().to_string();
    assert!(text.contains(&effect) && text.contains("STUCK"), "{text}");
    let json = shop
        .ask("saga.show", &order.to_string(), true)
        .await
        .unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["status"], "needs_operator");
    assert_eq!(json["you_may"][0]["command"], "retry");
    assert!(json["events"].as_u64().unwrap() > 5, "{json}");

    let text = shop
        .ask("saga.explain", &order.to_string(), false)
        .await
        .unwrap();
    for said in [
        "42.00 EUR were taken and 0.00 EUR given back: 42.00 EUR are owed to the customer.",
        "It needs a person since",
        "Nothing happens by itself.",
        "retry refund: it would ask the provider for refund again",
        "close: it would",
    ] {
        assert!(text.contains(said), "{said:?} is not in {text}");
    }
    let json = shop
        .ask("saga.explain", &order.to_string(), true)
        .await
        .unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(json["sentences"].as_array().unwrap().len() > 5, "{json}");
}

#[tokio::test]
async fn a_saga_that_goes_on_by_itself_says_what_it_waits_for_and_until_when() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let order = shop.checkout(shop.stocked(5).await, 2).await;
    eventually("the page is there", async || {
        shop.payment_state(order).await.checkout_url.is_some()
    })
    .await;
    let text = shop
        .ask("saga.explain", &order.to_string(), false)
        .await
        .unwrap();
    for said in [
        "It waits for the customer to pay on the provider's page, since",
        "the order is called off by itself",
        "abort: it would call the order off",
    ] {
        assert!(text.contains(said), "{said:?} is not in {text}");
    }
    let text = shop
        .ask("saga.show", &order.to_string(), false)
        .await
        .unwrap();
    assert!(text.ends_with("you may  abort\n"), "{text}");
}

#[tokio::test]
async fn a_dry_run_says_what_would_happen_and_changes_nothing() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let (order, _) = stuck_refund(&shop, &provider).await;
    let end = shop.end().await;
    let dry = [("Dry-Run", "1")];
    let text = shop
        .desk("saga.skip", &format!("{order} refund"), &dry)
        .await
        .unwrap();
    assert!(
        text.starts_with("would    mark refund as settled outside"),
        "{text}"
    );
    assert!(text.contains("would    end the saga as closed"), "{text}");
    assert!(text.contains("nothing was changed"), "{text}");
    for (verb, body) in [
        ("retry", format!("{order}")),
        (
            "resolve",
            format!("{order} refund ok re_9 seen in the dashboard"),
        ),
        ("close", format!("{order}")),
    ] {
        let told = shop.command(verb, &body, &dry).await.unwrap();
        assert_eq!(told["dry_run"], true, "{told}");
        assert_eq!(told["position"], Value::Null, "{told}");
        assert!(!told["would"].as_array().unwrap().is_empty(), "{told}");
    }
    // A dry run refuses what the command would be refused.
    let refused = shop.command("abort", &order.to_string(), &dry).await;
    assert_eq!(refused.unwrap_err().0, "409");
    assert_eq!(shop.end().await, end);
}

#[tokio::test]
async fn an_operator_who_knows_that_the_money_went_back_ends_the_saga_as_compensated() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let (order, _) = stuck_refund(&shop, &provider).await;
    let body = format!("{order} refund ok re_77 in the dashboard");
    let headers = [("Command-Id", "ticket 4711"), ("Actor", "ada"), WHY];
    let told = shop.command("resolve", &body, &headers).await.unwrap();
    assert_eq!(told["saga"]["status"], "compensated", "{told}");
    let shown = shop.reaches(order, Verdict::Compensated).await;
    assert_eq!(shown.money.refunded, eur(4200));
    assert_eq!(
        reason(&shop.order_state(order).await),
        CancelReason::OutOfStock
    );
    eventually("nobody is needed any more", async || {
        shop.attention("refund_refused", order).await.is_none()
    })
    .await;
    let history = shop.history(order).await;
    let ordered = history
        .iter()
        .find(|event| event.event_type == "fulfilment.operator_commanded")
        .unwrap();
    assert_eq!(ordered.metadata.actor.as_str(), "operator:ada");
    assert_eq!(ordered.metadata.correlation_id, order);

    // The same command again is told the same and does nothing.
    let end = shop.end().await;
    let again = shop.command("resolve", &body, &headers).await.unwrap();
    assert_eq!(
        (&again["repeated"], &again["position"]),
        (&Value::Bool(true), &told["position"])
    );
    // Its id cannot be another command, here or anywhere.
    let other = shop.command("close", &order.to_string(), &headers).await;
    assert_eq!(other.unwrap_err().0, "422");
    // And nothing revives what has ended.
    for (verb, body) in [
        ("retry", format!("{order} refund")),
        ("skip", format!("{order} refund")),
        ("abort", format!("{order}")),
        ("close", format!("{order}")),
    ] {
        let late = [("Command-Id", verb), WHY];
        let (code, said) = shop.command(verb, &body, &late).await.unwrap_err();
        assert_eq!(code, "409", "{verb}: {said}");
        assert!(said.starts_with("already_ended: "), "{said}");
    }
    assert_eq!(shop.end().await, end);
}

#[tokio::test]
async fn a_refund_that_is_tried_again_keeps_its_effect_id_and_asks_the_provider_once_more() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let (order, before) = stuck_refund(&shop, &provider).await;
    let effect = |shown: &SagaStatus| {
        let refund = shown.steps.iter().find(|step| step.state == "stuck");
        refund.unwrap().effect_id
    };
    let asked = provider.calls(order, "refund").await;
    let headers = [("Command-Id", "again"), WHY];
    let told = shop
        .command("retry", &order.to_string(), &headers)
        .await
        .unwrap();
    assert_eq!(told["command"], "retry");
    eventually("the provider is asked again", async || {
        provider.calls(order, "refund").await == asked + 1
    })
    .await;
    eventually("it is stuck again", async || {
        let shown = shop.shown(order).await.unwrap();
        shown.status == Verdict::NeedsOperator && shown.position > before.position
    })
    .await;
    let after = shop.shown(order).await.unwrap();
    assert_eq!(effect(&after), effect(&before));
    assert!(shop.attention("refund_refused", order).await.is_some());
}

#[tokio::test]
async fn what_was_settled_by_other_means_ends_closed_and_is_in_the_books() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let (order, _) = stuck_refund(&shop, &provider).await;
    let headers = [
        ("Command-Id", "transfer-8831"),
        ("Reason", "paid back by bank transfer 8831"),
    ];
    let body = format!(r#"{{"order_id":"{order}","step":"refund"}}"#);
    shop.command("skip", &body, &headers).await.unwrap();
    let shown = shop.reaches(order, Verdict::Closed).await;
    assert_eq!(shown.money.outside.unwrap().returned, eur(4200));
    assert_eq!(shown.money.refunded, eur(0));
    assert!(shown.left_due.is_empty());
    let text = shop
        .ask("saga.show", &order.to_string(), false)
        .await
        .unwrap();
    assert!(text.contains("CLOSED"), "{text}");
    assert!(
        text.contains("returned by other means   -> balanced"),
        "{text}"
    );
    assert!(!text.contains("you may"), "{text}");
    assert_eq!(
        reason(&shop.order_state(order).await),
        CancelReason::OutOfStock
    );
}

#[tokio::test]
async fn a_saga_that_is_closed_names_what_stays_due_and_nothing_revives_it() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let (order, _) = stuck_refund(&shop, &provider).await;
    let headers = [("Command-Id", "give up"), WHY];
    let told = shop
        .command("close", &order.to_string(), &headers)
        .await
        .unwrap();
    assert_eq!(
        told["saga"]["left_due"],
        serde_json::json!(["refund"]),
        "{told}"
    );
    shop.reaches(order, Verdict::Closed).await;
    eventually("nobody is needed any more", async || {
        shop.attention("refund_refused", order).await.is_none()
    })
    .await;
    let end = shop.end().await;
    for verb in ["retry", "close", "abort"] {
        let refused = shop
            .command(verb, &order.to_string(), &[("Command-Id", verb), WHY])
            .await;
        assert_eq!(refused.unwrap_err().0, "409", "{verb}");
    }
    assert_eq!(shop.end().await, end);
}

#[tokio::test]
async fn an_order_is_aborted_before_the_point_of_no_return_and_not_after() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(5).await;
    let order = shop.checkout(product, 2).await;
    eventually("the page is there", async || {
        shop.payment_state(order).await.checkout_url.is_some()
    })
    .await;
    let headers = [("Command-Id", "call it off"), WHY];
    shop.command("abort", &order.to_string(), &headers)
        .await
        .unwrap();
    shop.reaches(order, Verdict::Compensated).await;
    assert_eq!(
        reason(&shop.order_state(order).await),
        CancelReason::OperatorAborted
    );
    let paid = shop.order(product, 1, "pm_card_visa").await;
    shop.reaches(paid, Verdict::Completed).await;
    let (code, said) = shop
        .command("abort", &paid.to_string(), &[("Command-Id", "late"), WHY])
        .await
        .unwrap_err();
    assert_eq!(code, "409", "{said}");
    assert!(said.starts_with("too_late: "), "{said}");
}

#[tokio::test]
async fn of_two_operators_at_once_one_wins_and_the_other_is_told() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _one = Orchestrator::start(&shop, &provider);
    let _two = Orchestrator::start(&shop, &provider);
    let (order, _) = stuck_refund(&shop, &provider).await;
    let close = order.to_string();
    let resolve = format!("{order} refund ok re_1");
    let (ada, bob) = ([("Command-Id", "ada"), WHY], [("Command-Id", "bob"), WHY]);
    let both = tokio::join!(
        shop.command("close", &close, &ada),
        shop.command("resolve", &resolve, &bob),
    );
    let (won, lost) = match both {
        (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
        other => panic!("{other:?}"),
    };
    assert_eq!(lost.0, "409", "{lost:?}");
    let ending: Verdict = serde_json::from_value(won["saga"]["status"].clone()).unwrap();
    shop.reaches(order, ending).await;
}

#[tokio::test]
async fn what_the_desk_does_not_understand_or_may_not_do_has_its_code() {
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let _orchestrator = Orchestrator::start(&shop, &provider);
    let (order, _) = stuck_refund(&shop, &provider).await;
    let order = order.to_string();
    let id = ("Command-Id", "x");
    for (verb, body, headers, code, word) in [
        ("retry", "nonsense", vec![id, WHY], "400", "bad_request"),
        ("skip", order.as_str(), vec![id, WHY], "400", "bad_request"),
        (
            "skip",
            &format!("{order} sideways"),
            vec![id, WHY],
            "400",
            "bad_request",
        ),
        ("close", &order, vec![WHY], "400", "idempotency_key_missing"),
        ("close", &order, vec![id], "422", "reason_missing"),
        (
            "resolve",
            &format!("{order} refund ok"),
            vec![id, WHY],
            "422",
            "evidence_missing",
        ),
        (
            "skip",
            &format!("{order} capture"),
            vec![id, WHY],
            "409",
            "other_step",
        ),
        (
            "close",
            &Uuid::nil().to_string(),
            vec![id, WHY],
            "404",
            "not_found",
        ),
    ] {
        let refused = shop.command(verb, body, &headers).await.unwrap_err();
        assert_eq!(refused.0, code, "{verb} {body}: {}", refused.1);
        assert!(
            refused.1.starts_with(&format!("{word}: ")),
            "{verb} {body}: {}",
            refused.1
        );
    }
}

#[tokio::test]
async fn a_command_that_was_accepted_survives_a_kill() {
    let mut shop = Shop::open().await;
    shop.provider_id = "stripe";
    let provider = Provider::start().await;
    let first = Process::start(&shop, &provider);
    let (order, before) = stuck_refund(&shop, &provider).await;
    let asked = provider.calls(order, "refund").await;
    let headers = [("Command-Id", "again"), WHY];
    shop.command("retry", &order.to_string(), &headers)
        .await
        .unwrap();
    first.kill();
    let killed = Instant::now();
    let _second = Process::start(&shop, &provider);
    eventually("it is tried again and stuck again", async || {
        let shown = shop.shown(order).await.unwrap();
        shown.status == Verdict::NeedsOperator && shown.position > before.position
    })
    .await;
    assert!(
        killed.elapsed() < Duration::from_secs(15),
        "{:?}",
        killed.elapsed()
    );
    assert!(provider.calls(order, "refund").await > asked);
    assert_eq!(provider.total(order, "refunded").await, 0);
}
