//! A provider that behaves as badly as providers do: whatever it says or does not say, each order is charged once, given
//! back once, and nobody is called before it is time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::order;
use domain::payment::RecordCallback;
use event_schema::Timestamp;
use event_schema::fulfilment::Cause;
use event_schema::order::{CancelReason, PaymentMethod};
use saga_orchestrator::status::Verdict;
use serde_json::{Value, json};
use service_kit::Settings;
use support::callbacks;
use support::meddler::{Do, Meddler, Op};
use support::orchestrator::{Orchestrator, settings};
use support::sandbox::Provider;
use support::shop::{Shop, eventually};
use uuid::Uuid;

struct Scene {
    shop: Shop,
    provider: Provider,
    meddler: Meddler,
    orchestrator: Orchestrator,
}

impl Scene {
    async fn open() -> Self {
        Self::open_with(settings()).await
    }

    async fn open_with(settings: Settings) -> Self {
        let (shop, provider) = (Shop::open().await, Provider::start().await);
        let meddler = Meddler::before(&provider).await;
        let orchestrator = Orchestrator::start_as(&shop, meddler.account(&provider), settings);
        shop.spread(&[16]).await;
        Self {
            shop,
            provider,
            meddler,
            orchestrator,
        }
    }

    /// An order of two, of which there are so many.
    async fn order(&self, stocked: u32) -> Uuid {
        let product = self.shop.stocked(stocked).await;
        self.shop.order(product, 2, "pm_card_visa").await
    }

    async fn is_paid_once(&self, order: Uuid) {
        self.shop.reaches(order, Verdict::Completed).await;
        assert!(matches!(
            self.shop.order_state(order).await,
            order::State::Confirmed(_)
        ));
        let ledger = self.provider.ledger(order).await;
        let totals = &ledger["totals"];
        assert_eq!(
            (&totals["kept"], &totals["times_captured"], &totals["held"]),
            (&json!(4200), &json!(1), &json!(0)),
            "{ledger:#}"
        );
        assert_eq!(
            ledger["intents"].as_array().map(Vec::len),
            Some(1),
            "{ledger:#}"
        );
    }

    async fn costs_nothing(&self, order: Uuid, why: CancelReason) {
        self.shop.reaches(order, Verdict::Compensated).await;
        let order::State::Cancelled(_, call_off) = self.shop.order_state(order).await else {
            panic!("not cancelled");
        };
        assert_eq!(call_off.reason, why);
        let ledger = self.provider.ledger(order).await;
        let totals = &ledger["totals"];
        assert_eq!(
            (&totals["kept"], &totals["held"]),
            (&json!(0), &json!(0)),
            "{ledger:#}"
        );
    }
}

fn error(kind: &str, code: &str) -> Value {
    json!({"error": {"type": kind, "code": code, "message": "said the provider"}})
}

#[tokio::test]
async fn an_idempotency_clash_is_looked_up_and_never_a_failure() {
    let scene = Scene::open().await;
    let clash = || Do::AnswerAfterDoing(409, error("idempotency_error", "idempotency_key_in_use"));
    scene.meddler.order(Op::Create, clash(), 1);
    scene.meddler.order(Op::Capture, clash(), 1);
    let order = scene.order(5).await;
    scene.is_paid_once(order).await;
    let unknown = scene.shop.history(order).await;
    let unknown = unknown.iter().filter(|event| {
        event.saga.as_ref().and_then(|saga| saga.outcome.as_deref()) == Some("unknown")
    });
    assert_eq!(unknown.count(), 2);
}

#[tokio::test]
async fn a_provider_that_has_forgotten_the_key_charges_once_all_the_same() {
    let scene = Scene::open().await;
    scene
        .meddler
        .order(Op::Create, Do::ForgetKeyAndLoseAnswer, 1);
    scene.meddler.order(Op::Create, Do::ForgetKey, 100);
    scene
        .meddler
        .order(Op::Capture, Do::ForgetKeyAndLoseAnswer, 1);
    scene.meddler.order(Op::Capture, Do::ForgetKey, 100);
    let order = scene.order(5).await;
    scene.is_paid_once(order).await;
    assert_eq!(
        scene.meddler.seen(Op::Create).len(),
        1,
        "looked up, not sent again"
    );
}

#[tokio::test]
async fn what_is_let_go_or_given_back_without_an_answer_is_so_once_even_if_the_key_is_forgotten() {
    let scene = Scene::open().await;
    scene
        .meddler
        .order(Op::Cancel, Do::ForgetKeyAndLoseAnswer, 2);
    scene.meddler.order(Op::Cancel, Do::ForgetKey, 100);
    let voided = scene.order(1).await;
    scene.costs_nothing(voided, CancelReason::OutOfStock).await;

    // The money is taken past us while the void is under way, so that it has to be given back.
    scene.meddler.relent();
    scene
        .meddler
        .order(Op::Cancel, Do::Answer(502, Value::Null, None), 3);
    scene
        .meddler
        .order(Op::Refund, Do::ForgetKeyAndLoseAnswer, 1);
    scene.meddler.order(Op::Refund, Do::ForgetKey, 100);
    let before = scene.meddler.seen(Op::Cancel).len();
    let refunded = scene.order(1).await;
    eventually("the void is under way", async || {
        scene.meddler.seen(Op::Cancel).len() > before
    })
    .await;
    scene.provider.capture_by_hand(refunded).await;
    scene
        .costs_nothing(refunded, CancelReason::OutOfStock)
        .await;
    let ledger = scene.provider.ledger(refunded).await;
    assert_eq!(
        ledger["intents"][0]["refunds"].as_array().map(Vec::len),
        Some(1),
        "{ledger:#}"
    );
    assert_eq!(
        scene.meddler.seen(Op::Refund).len(),
        1,
        "looked up, not sent again"
    );
}

#[tokio::test]
async fn a_payment_that_only_a_callback_names_is_looked_up_by_its_id_and_believed_if_it_names_the_call()
 {
    let shop = Arc::new(Shop::open().await);
    let ear = callbacks::listen(Arc::clone(&shop)).await;
    let provider = Provider::start_with(Some(&ear)).await;
    let meddler = Meddler::before(&provider).await;
    let _orchestrator = Orchestrator::start_as(&shop, meddler.account(&provider), settings());
    shop.spread(&[16]).await;
    // Lists are not answered for the rest of the day, and neither is the first call, which needs none.
    let down = || Do::Answer(500, Value::Null, None);
    meddler.order(Op::List, down(), usize::MAX);
    meddler.order(Op::Create, Do::ForgetKeyAndLoseAnswer, 1);
    meddler.order(Op::Create, Do::ForgetKey, 100);
    let product = shop.stocked(5).await;
    let order = shop.order(product, 2, "pm_card_visa").await;
    shop.reaches(order, Verdict::Completed).await;
    let creates = meddler.seen(Op::Create);
    assert_eq!(creates.len(), 1, "not sent again");
    let lists = meddler.seen(Op::List);
    let none_before = lists.iter().all(|list| list.at > creates[0].at);
    assert!(none_before, "a first call is simply made: {lists:?}");
    assert_eq!(provider.total(order, "times_captured").await, 1);

    // A callback that names another order's payment as this one's is no proof of anything.
    let foreign = provider.ledger(order).await["intents"][0]["id"].clone();
    meddler.relent();
    meddler.order(Op::Create, down(), usize::MAX);
    let looks = meddler.seen(Op::List).len();
    let other = shop.order(product, 2, "pm_card_visa").await;
    let told = RecordCallback {
        provider: shop.provider_id.into(),
        provider_event_id: "evt_foreign".into(),
        kind: "payment_intent.succeeded".into(),
        provider_payment_id: foreign.as_str().map(str::to_owned),
        session_id: None,
        amount: None,
        status: Some("succeeded".into()),
        created_at: Timestamp::now(),
    };
    shop.callback(other, told).await;
    eventually("it was looked up in vain", async || {
        meddler.seen(Op::List).len() > looks + 2
    })
    .await;
    let shown = shop.shown(other).await.unwrap();
    assert_eq!(shown.status, Verdict::Running);
    meddler.relent();
    shop.reaches(other, Verdict::Completed).await;
    assert_eq!(provider.total(other, "times_captured").await, 1);
}

#[tokio::test]
async fn a_server_error_that_nobody_remembers_is_sent_again_under_the_same_key() {
    let scene = Scene::open().await;
    let html = || Do::Answer(503, json!("<html>maintenance</html>"), None);
    scene.meddler.order(Op::Create, html(), 2);
    scene.meddler.order(Op::Capture, html(), 2);
    let order = scene.order(5).await;
    scene.is_paid_once(order).await;
    for op in [Op::Create, Op::Capture] {
        let keys = scene.meddler.seen(op);
        assert_eq!(keys.len(), 3, "{keys:?}");
        assert!(keys.iter().all(|call| call.key == keys[0].key), "{keys:?}");
    }
}

#[tokio::test]
async fn a_payment_that_is_being_processed_is_waited_for() {
    let scene = Scene::open().await;
    scene.meddler.order(Op::Create, Do::Status("processing"), 1);
    scene.meddler.order(Op::Read, Do::Status("processing"), 3);
    let order = scene.order(5).await;
    scene.is_paid_once(order).await;
    assert_eq!(scene.meddler.seen(Op::Create).len(), 1);
    assert!(scene.meddler.seen(Op::Read).len() > 3);
}

#[tokio::test]
async fn a_refusal_of_the_capture_is_believed_only_if_the_payment_says_so_too() {
    let scene = Scene::open().await;
    let wrong_state = error("invalid_request_error", "payment_intent_unexpected_state");
    scene
        .meddler
        .order(Op::Capture, Do::AnswerAfterDoing(400, wrong_state), 1);
    let order = scene.order(5).await;
    scene.is_paid_once(order).await;
}

#[tokio::test]
async fn a_pause_that_the_provider_asks_for_is_kept_whatever_it_answered() {
    let scene = Scene::open().await;
    let pause = |status, kind| Do::Answer(status, error(kind, "rate_limit"), Some(3));
    // Certainly not done; and nobody knows; and a look-up that is not answered.
    scene
        .meddler
        .order(Op::Create, pause(429, "invalid_request_error"), 1);
    scene.meddler.order(Op::Capture, pause(503, "api_error"), 1);
    let order = scene.order(5).await;
    scene.is_paid_once(order).await;
    let creates = scene.meddler.seen(Op::Create);
    assert!(
        creates[1].at - creates[0].at >= Duration::from_secs(3),
        "{creates:?}"
    );
    let failed = scene.meddler.seen(Op::Capture)[0].at;
    let reads = scene.meddler.seen(Op::Read);
    let next = reads
        .iter()
        .map(|read| read.at)
        .find(|at| *at > failed)
        .unwrap();
    assert!(
        next - failed >= Duration::from_secs(3),
        "{:?}",
        next - failed
    );
    assert_eq!(scene.meddler.seen(Op::Create).len(), 2);
}

#[tokio::test]
async fn a_pause_that_the_provider_asks_for_is_kept_by_whoever_takes_over() {
    const PAUSE: Duration = Duration::from_secs(14);
    let scene = Scene::open().await;
    // Nobody knows what became of it, which is looked up; but not yet.
    let pause = Do::Answer(503, error("api_error", "maintenance"), Some(14));
    scene.meddler.order(Op::Capture, pause, 1);
    let order = scene.order(5).await;
    let tried_again_at = async || {
        let history = scene.shop.history(order).await;
        let saga = history.last()?.saga.clone()?;
        (saga.outcome.as_deref() == Some("unknown")).then_some(saga.deadline)?
    };
    eventually("its unknown outcome is recorded", async || {
        tried_again_at().await.is_some()
    })
    .await;
    let failed = scene.meddler.seen(Op::Capture)[0].at;
    let looks_before = scene.meddler.seen(Op::Read).len();
    let Scene {
        shop,
        provider,
        meddler,
        orchestrator,
    } = scene;
    let before = shop.owners().await;
    orchestrator.kill();
    let orchestrator = Orchestrator::start_as(&shop, meddler.account(&provider), settings());
    eventually("somebody else is at work", async || {
        let now = shop.owners().await;
        now.values().sum::<usize>() == 16 && now != before
    })
    .await;
    assert!(
        failed.elapsed() < PAUSE,
        "the takeover took {:?}: longer than the pause, which shows nothing",
        failed.elapsed()
    );
    let scene = Scene {
        shop,
        provider,
        meddler,
        orchestrator,
    };
    scene.is_paid_once(order).await;
    let next = scene.meddler.seen(Op::Read)[looks_before].at;
    assert!(next - failed >= PAUSE, "{:?}", next - failed);
    assert!(
        scene.meddler.seen(Op::Capture)[1..]
            .iter()
            .all(|call| call.at - failed >= PAUSE)
    );
}

/// The settings of a shop whose patience with an unknown payment is short.
fn impatient() -> Settings {
    let mut settings = settings();
    settings.payment_unknown_budget = Duration::from_secs(3);
    settings
}

#[tokio::test]
async fn an_outage_alone_calls_nobody_however_long_it_is() {
    let scene = Scene::open_with(impatient()).await;
    for op in [Op::Create, Op::Read] {
        scene
            .meddler
            .order(op, Do::Answer(503, Value::Null, None), usize::MAX);
    }
    let order = scene.order(5).await;
    let began = Instant::now();
    eventually("the outage is twice as long as the budget", async || {
        began.elapsed() > Duration::from_secs(7)
    })
    .await;
    let shown = scene.shop.shown(order).await.unwrap();
    assert_eq!(shown.status, Verdict::Running);
    scene.meddler.relent();
    scene.is_paid_once(order).await;
}

#[tokio::test]
async fn a_provider_that_answers_and_does_not_tell_uses_the_budget_up_and_a_person_resolves_it() {
    let scene = Scene::open_with(impatient()).await;
    let clash = Do::AnswerAfterDoing(409, error("idempotency_error", "idempotency_key_in_use"));
    scene.meddler.order(Op::Capture, clash, 1);
    scene
        .meddler
        .order(Op::Read, Do::Status("processing"), usize::MAX);
    let order = scene.order(5).await;
    let shown = scene.shop.reaches(order, Verdict::NeedsOperator).await;
    assert_eq!(shown.cause, Some(Cause::PaymentUnknown));
    assert!(
        scene
            .shop
            .attention("payment_unknown", order)
            .await
            .is_some()
    );
    // Past the point of no return it cannot be called off, but what became of it can be stated.
    let headers = [
        ("Command-Id", "seen"),
        ("Reason", "the dashboard shows it as taken"),
    ];
    let refused = scene
        .shop
        .command("abort", &order.to_string(), &headers)
        .await;
    assert_eq!(refused.unwrap_err().0, "409");
    let body = format!("{order} capture ok dashboard, 14:03");
    scene
        .shop
        .command("resolve", &body, &headers)
        .await
        .unwrap();
    scene.meddler.relent();
    scene.is_paid_once(order).await;
}

#[tokio::test]
async fn a_provider_that_answers_every_question_and_never_the_call_itself_uses_the_budget_up() {
    let ways: [(Op, Do); 2] = [
        (Op::Create, Do::Answer(502, Value::Null, None)),
        (Op::Capture, Do::Hang),
    ];
    for (op, act) in ways {
        let scene = Scene::open_with(impatient()).await;
        scene.meddler.order(op, act, usize::MAX);
        let order = scene.order(5).await;
        let shown = scene.shop.reaches(order, Verdict::NeedsOperator).await;
        assert_eq!(shown.cause, Some(Cause::PaymentUnknown), "{op:?}");
        let calls = scene.meddler.seen(op);
        assert!(calls.len() > 1, "{op:?}: {calls:?}");
        assert!(
            calls.iter().all(|call| call.key == calls[0].key),
            "{op:?}: {calls:?}"
        );
        scene.meddler.relent();
        let headers = [
            ("Command-Id", "again"),
            ("Reason", "the provider is mended"),
        ];
        let body = order.to_string();
        scene.shop.command("retry", &body, &headers).await.unwrap();
        scene.is_paid_once(order).await;
    }
}

#[tokio::test]
async fn an_operator_who_says_refused_of_money_that_was_taken_has_it_given_back() {
    let scene = Scene::open_with(impatient()).await;
    let clash = Do::AnswerAfterDoing(409, error("idempotency_error", "idempotency_key_in_use"));
    scene.meddler.order(Op::Capture, clash, 1);
    scene
        .meddler
        .order(Op::Read, Do::Status("processing"), usize::MAX);
    let order = scene.order(5).await;
    scene.shop.reaches(order, Verdict::NeedsOperator).await;
    scene.meddler.relent();
    let headers = [("Command-Id", "wrong"), ("Reason", "the bank says no")];
    let body = format!("{order} capture refused by phone");
    scene
        .shop
        .command("resolve", &body, &headers)
        .await
        .unwrap();
    // What the operator said was wrong; the provider has the last word about where the money is.
    scene
        .costs_nothing(order, CancelReason::PaymentDeclined)
        .await;
    let ledger = scene.provider.ledger(order).await;
    assert_eq!(
        ledger["intents"][0]["refunds"].as_array().map(Vec::len),
        Some(1),
        "{ledger:#}"
    );
}

#[tokio::test]
async fn an_answer_that_never_comes_from_anywhere_is_waited_out_and_the_order_is_charged_once() {
    let scene = Scene::open().await;
    scene.meddler.order(Op::Create, Do::Hang, 1);
    scene.meddler.order(Op::Read, Do::Hang, 1);
    let order = scene.order(5).await;
    scene.is_paid_once(order).await;
}

#[tokio::test]
async fn a_refusal_that_the_provider_remembers_does_not_stand_in_the_way_of_an_operators_retry() {
    let scene = Scene::open().await;
    scene
        .meddler
        .order(Op::Cancel, Do::Answer(502, Value::Null, None), 3);
    let refused = error("invalid_request_error", "insufficient_funds");
    scene
        .meddler
        .order(Op::Refund, Do::Answer(400, refused, None), 1);
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, Uuid::now_v7().as_bytes());
    let method = PaymentMethod::Card {
        token: "pm_card_visa".into(),
    };
    let product = scene.shop.stocked(1).await;
    let order = scene.shop.place_as(id, product, 2, method).await;
    eventually("the void is under way", async || {
        !scene.meddler.seen(Op::Cancel).is_empty()
    })
    .await;
    scene.provider.capture_by_hand(order).await;
    let shown = scene.shop.reaches(order, Verdict::NeedsOperator).await;
    assert_eq!(shown.cause, Some(Cause::RefundRefused));
    let headers = [
        ("Command-Id", "again"),
        ("Reason", "there is money on the account again"),
    ];
    scene
        .shop
        .command("retry", &order.to_string(), &headers)
        .await
        .unwrap();
    scene.costs_nothing(order, CancelReason::OutOfStock).await;
    let asked = scene.meddler.seen(Op::Refund);
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_ne!(
        asked[0].key, asked[1].key,
        "under the old key it would only be refused again"
    );
    let ledger = scene.provider.ledger(order).await;
    assert_eq!(
        ledger["intents"][0]["refunds"].as_array().map(Vec::len),
        Some(1),
        "{ledger:#}"
    );
}
