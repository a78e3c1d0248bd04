//! The Stripe adapter and what is done with its answers, against the sandbox over real HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::time::Duration;

use event_schema::ids::{EffectId, OrderId};
use event_schema::{Currency, Money, Timestamp};
use saga_orchestrator::effect::{self, Looked, Means, Outcome, Past, Task};
use saga_orchestrator::provider::{Call, Fault, PaymentProvider, Stripe};
use support::sandbox::{ANSWER_DEADLINE, Provider};
use uuid::Uuid;

const FIRST: Past = Past::FirstCall;
const AGAIN: Past = Past::MaybeCalled { tries: 1 };

struct Order {
    id: OrderId,
    intended_at: Timestamp,
}

impl Order {
    fn new() -> Self {
        Self {
            id: OrderId(Uuid::now_v7()),
            intended_at: Timestamp::now(),
        }
    }

    fn call(&self, step: &str) -> Call {
        self.opening(step, 1)
    }

    fn opening(&self, step: &str, opening: u32) -> Call {
        let effect_id = EffectId::of(self.id, step, opening);
        Call::new(self.id, effect_id, eur(4200), self.intended_at)
    }
}

fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::EUR)
}

fn card(token: &str) -> Means {
    Means::Card {
        token: token.into(),
        payment_id: None,
    }
}

fn checkout() -> Means {
    Means::Checkout { session_id: None }
}

async fn authorise(stripe: &Stripe, order: &Order, means: &Means, past: Past) -> Outcome {
    effect::run(
        stripe,
        &order.call("authorise"),
        &Task::Authorise(means.clone()),
        past,
        Timestamp::now(),
    )
    .await
}

async fn void(stripe: &Stripe, order: &Order, means: &Means, past: Past) -> Outcome {
    let task = Task::Void {
        authorisation: order.call("authorise"),
        means: means.clone(),
    };
    effect::run(stripe, &order.call("void"), &task, past, Timestamp::now()).await
}

async fn capture(stripe: &Stripe, order: &Order, payment_id: &str, past: Past) -> Outcome {
    let task = Task::Capture {
        payment_id: payment_id.into(),
    };
    effect::run(
        stripe,
        &order.call("capture"),
        &task,
        past,
        Timestamp::now(),
    )
    .await
}

async fn refund(stripe: &Stripe, order: &Order, payment_id: &str, past: Past) -> Outcome {
    let task = Task::Refund {
        payment_id: payment_id.into(),
    };
    effect::run(stripe, &order.call("refund"), &task, past, Timestamp::now()).await
}

/// A card's money set aside, as the payment's id.
async fn authorised(stripe: &Stripe, order: &Order, token: &str) -> String {
    match authorise(stripe, order, &card(token), FIRST).await {
        Outcome::Authorised { payment_id, amount } => {
            assert_eq!(amount, eur(4200));
            payment_id
        }
        other => panic!("not authorised: {other:?}"),
    }
}

#[tokio::test]
async fn a_cards_money_is_set_aside_taken_and_given_back() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    let payment = authorised(&stripe, &order, "pm_card_visa").await;
    assert_eq!(
        capture(&stripe, &order, &payment, FIRST).await,
        Outcome::Captured {
            payment_id: payment.clone(),
            amount: eur(4200)
        }
    );
    let Outcome::Refunded { amount, .. } = refund(&stripe, &order, &payment, FIRST).await else {
        panic!()
    };
    assert_eq!(amount, eur(4200));
    let totals = provider.ledger(order.id).await["totals"].clone();
    assert_eq!(
        (totals["captured"].as_i64(), totals["kept"].as_i64()),
        (Some(4200), Some(0))
    );
}

#[tokio::test]
async fn a_declined_card_is_refused_with_the_issuers_code_and_again_when_it_is_asked_again() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    for past in [FIRST, AGAIN] {
        let outcome = authorise(
            &stripe,
            &order,
            &card("pm_card_chargeDeclinedInsufficientFunds"),
            past,
        )
        .await;
        let Outcome::Refused { code, .. } = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(code, "insufficient_funds");
    }
    assert_eq!(
        provider.calls(order.id, "create").await,
        1,
        "the second answer comes from looking"
    );
}

#[tokio::test]
async fn a_token_that_the_provider_does_not_know_is_a_refusal() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    let outcome = authorise(&stripe, &order, &card("pm_no_such_card"), FIRST).await;
    assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
}

#[tokio::test]
async fn an_answer_that_never_comes_is_unknown_and_is_found_by_looking_without_a_second_charge() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    let means = card("pm_waybill_timeout");
    let outcome = authorise(&stripe, &order, &means, FIRST).await;
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    let outcome = authorise(&stripe, &order, &means, AGAIN).await;
    assert!(matches!(outcome, Outcome::Authorised { .. }), "{outcome:?}");
    assert_eq!(provider.calls(order.id, "create").await, 1);
    assert_eq!(provider.total(order.id, "authorised").await, 4200);
}

#[tokio::test]
async fn a_call_that_never_arrived_is_sent_again_under_its_key() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    provider.fail(order.id, "create", "drop_before", 1).await;
    let outcome = authorise(&stripe, &order, &card("pm_card_visa"), FIRST).await;
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    let outcome = authorise(&stripe, &order, &card("pm_card_visa"), AGAIN).await;
    assert!(matches!(outcome, Outcome::Authorised { .. }), "{outcome:?}");
    let ledger = provider.ledger(order.id).await;
    let key = order.call("authorise").effect_id.to_string();
    for call in ledger["calls"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|call| call["operation"] == "create")
    {
        assert_eq!(call["idempotency_key"], key.as_str());
    }
    assert_eq!(ledger["intents"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_failure_that_the_provider_only_repeats_proves_that_nothing_was_done() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    provider.fail(order.id, "create", "500", 1).await;
    let first = authorise(&stripe, &order, &card("pm_card_visa"), FIRST).await;
    assert!(
        matches!(
            first,
            Outcome::Unknown {
                reachable: false,
                ..
            }
        ),
        "{first:?}"
    );
    let again = authorise(&stripe, &order, &card("pm_card_visa"), AGAIN).await;
    assert!(matches!(again, Outcome::NeverHappened { .. }), "{again:?}");
    let opening = order.opening("authorise", 2);
    let outcome = effect::run(
        &stripe,
        &opening,
        &Task::Authorise(card("pm_card_visa")),
        FIRST,
        Timestamp::now(),
    )
    .await;
    assert!(matches!(outcome, Outcome::Authorised { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_failure_after_the_deed_is_found_out_by_looking() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    provider.fail(order.id, "create", "500_after", 1).await;
    let first = authorise(&stripe, &order, &card("pm_card_visa"), FIRST).await;
    assert!(matches!(first, Outcome::Unknown { .. }), "{first:?}");
    let again = authorise(&stripe, &order, &card("pm_card_visa"), AGAIN).await;
    assert!(matches!(again, Outcome::Authorised { .. }), "{again:?}");
    assert_eq!(provider.calls(order.id, "create").await, 1);
}

#[tokio::test]
async fn too_many_requests_are_a_retry_for_a_first_call_and_unknown_for_any_other() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    provider.fail(order.id, "create", "429", 2).await;
    let first = authorise(&stripe, &order, &card("pm_card_visa"), FIRST).await;
    assert!(
        matches!(
            first,
            Outcome::Retry {
                reachable: true,
                ..
            }
        ),
        "{first:?}"
    );
    let again = authorise(&stripe, &order, &card("pm_card_visa"), AGAIN).await;
    assert!(matches!(again, Outcome::Unknown { .. }), "{again:?}");
}

#[tokio::test]
async fn a_provider_that_nobody_can_connect_to_was_not_called_the_first_time_and_is_unknown_later()
{
    let free_port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let config = service_kit::payment::ProviderAccount {
        url: format!("http://{free_port}"),
        ..Provider::start().await.account()
    };
    let stripe = Stripe::new(
        &config,
        "http://shop.test",
        ANSWER_DEADLINE,
        Duration::from_secs(900),
    )
    .unwrap();
    let order = Order::new();
    let first = authorise(&stripe, &order, &card("pm_card_visa"), FIRST).await;
    assert!(
        matches!(
            first,
            Outcome::Retry {
                reachable: false,
                ..
            }
        ),
        "{first:?}"
    );
    let again = authorise(&stripe, &order, &card("pm_card_visa"), AGAIN).await;
    assert!(
        matches!(
            again,
            Outcome::Unknown {
                reachable: false,
                ..
            }
        ),
        "{again:?}"
    );
}

#[tokio::test]
async fn a_card_that_needs_the_customer_names_the_page_that_he_has_to_visit() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    let means = card("pm_card_authenticationRequired");
    let Outcome::ActionRequired {
        page, payment_id, ..
    } = authorise(&stripe, &order, &means, FIRST).await
    else {
        panic!()
    };
    assert!(page.starts_with(&provider.base_url), "{page}");
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    client
        .post(&page)
        .form(&[("answer", "confirm")])
        .send()
        .await
        .unwrap();
    let known = Means::Card {
        token: "pm_card_authenticationRequired".into(),
        payment_id,
    };
    let found = effect::look_up(&stripe, &order.call("authorise"), &Task::Authorise(known)).await;
    assert!(
        matches!(found, Looked::Found(Outcome::Authorised { .. })),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_hosted_checkout_is_opened_once_paid_and_taken() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    let opened = authorise(&stripe, &order, &checkout(), FIRST).await;
    let Outcome::ActionRequired {
        page,
        session_id: Some(session),
        ..
    } = opened
    else {
        panic!("{opened:?}")
    };
    let again = authorise(&stripe, &order, &checkout(), AGAIN).await;
    let Outcome::ActionRequired {
        session_id: Some(same),
        ..
    } = again
    else {
        panic!("{again:?}")
    };
    assert_eq!(session, same);
    provider.pay(&page, "pm_card_visa").await;
    let known = Means::Checkout {
        session_id: Some(session),
    };
    let looked = effect::look_up(&stripe, &order.call("authorise"), &Task::Authorise(known)).await;
    let Looked::Found(Outcome::Authorised { payment_id, amount }) = looked else {
        panic!()
    };
    assert_eq!(amount, eur(4200));
    assert!(matches!(
        capture(&stripe, &order, &payment_id, FIRST).await,
        Outcome::Captured { .. }
    ));
}

#[tokio::test]
async fn a_checkout_that_is_voided_can_never_be_paid() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    let Outcome::ActionRequired { session_id, .. } =
        authorise(&stripe, &order, &checkout(), FIRST).await
    else {
        panic!()
    };
    let known = Means::Checkout { session_id };
    assert_eq!(void(&stripe, &order, &known, FIRST).await, Outcome::Voided);
    assert_eq!(void(&stripe, &order, &known, AGAIN).await, Outcome::Voided);
    assert_eq!(
        provider.ledger(order.id).await["sessions"][0]["status"],
        "expired"
    );
}

#[tokio::test]
async fn a_checkout_that_was_paid_in_the_last_moment_is_let_go_by_its_payment() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    let Outcome::ActionRequired {
        page, session_id, ..
    } = authorise(&stripe, &order, &checkout(), FIRST).await
    else {
        panic!()
    };
    provider.pay(&page, "pm_card_visa").await;
    assert_eq!(
        void(&stripe, &order, &Means::Checkout { session_id }, FIRST).await,
        Outcome::Voided
    );
    assert_eq!(provider.total(order.id, "held").await, 0);
}

#[tokio::test]
async fn what_is_set_aside_is_let_go_once_however_often_it_is_asked() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    let payment = authorised(&stripe, &order, "pm_card_visa").await;
    let known = Means::Card {
        token: "pm_card_visa".into(),
        payment_id: Some(payment),
    };
    for past in [FIRST, AGAIN] {
        assert_eq!(void(&stripe, &order, &known, past).await, Outcome::Voided);
    }
    assert_eq!(provider.total(order.id, "held").await, 0);
}

#[tokio::test]
async fn a_void_without_an_id_finds_the_payment_of_an_answer_that_was_lost() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    provider.fail(order.id, "create", "drop_after", 1).await;
    let outcome = authorise(&stripe, &order, &card("pm_card_visa"), FIRST).await;
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    assert_eq!(
        void(&stripe, &order, &card("pm_card_visa"), FIRST).await,
        Outcome::Voided
    );
    let totals = provider.ledger(order.id).await["totals"].clone();
    assert_eq!(
        (totals["held"].as_i64(), totals["captured"].as_i64()),
        (Some(0), Some(0))
    );
}

#[tokio::test]
async fn a_void_of_a_call_that_never_arrived_leaves_no_room_for_it_to_land_later() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    assert_eq!(
        void(&stripe, &order, &card("pm_card_visa"), FIRST).await,
        Outcome::Voided
    );
    // The late call itself, under the same key, finds its payment cancelled and sets nothing aside.
    drop(
        stripe
            .create_payment(&order.call("authorise"), "pm_card_visa")
            .await,
    );
    assert_eq!(provider.total(order.id, "held").await, 0);
    assert_eq!(
        provider.ledger(order.id).await["intents"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_void_that_finds_the_money_taken_says_so() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    let payment = authorised(&stripe, &order, "pm_card_visa").await;
    capture(&stripe, &order, &payment, FIRST).await;
    let known = Means::Card {
        token: "pm_card_visa".into(),
        payment_id: Some(payment),
    };
    let outcome = void(&stripe, &order, &known, FIRST).await;
    assert!(matches!(outcome, Outcome::Captured { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_void_or_a_refund_that_is_refused_for_good_is_refused_every_time() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    let payment = authorised(&stripe, &order, "pm_waybill_void_refused").await;
    let known = Means::Card {
        token: "pm_waybill_void_refused".into(),
        payment_id: Some(payment),
    };
    for past in [FIRST, AGAIN] {
        let outcome = void(&stripe, &order, &known, past).await;
        assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
    }
    let other = Order::new();
    let payment = authorised(&stripe, &other, "pm_waybill_refund_refused").await;
    capture(&stripe, &other, &payment, FIRST).await;
    for past in [FIRST, AGAIN] {
        let outcome = refund(&stripe, &other, &payment, past).await;
        assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_capture_whose_answer_was_lost_is_found_and_one_that_is_refused_is_refused() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    let payment = authorised(&stripe, &order, "pm_card_visa").await;
    provider.fail(order.id, "capture", "drop_after", 1).await;
    assert!(matches!(
        capture(&stripe, &order, &payment, FIRST).await,
        Outcome::Unknown { .. }
    ));
    assert!(matches!(
        capture(&stripe, &order, &payment, AGAIN).await,
        Outcome::Captured { .. }
    ));
    assert_eq!(provider.calls(order.id, "capture").await, 1);

    let other = Order::new();
    let payment = authorised(&stripe, &other, "pm_waybill_capture_refused").await;
    let outcome = capture(&stripe, &other, &payment, FIRST).await;
    assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
    assert_eq!(provider.total(other.id, "held").await, 4200);
}

#[tokio::test]
async fn a_refund_whose_answer_was_lost_is_not_made_twice() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    let payment = authorised(&stripe, &order, "pm_card_visa").await;
    capture(&stripe, &order, &payment, FIRST).await;
    provider.fail(order.id, "refund", "drop_after", 1).await;
    assert!(matches!(
        refund(&stripe, &order, &payment, FIRST).await,
        Outcome::Unknown { .. }
    ));
    assert!(matches!(
        refund(&stripe, &order, &payment, AGAIN).await,
        Outcome::Refunded { .. }
    ));
    let intents = provider.ledger(order.id).await["intents"].clone();
    assert_eq!(intents[0]["refunds"].as_array().unwrap().len(), 1);
    assert_eq!(provider.total(order.id, "refunded").await, 4200);
}

#[tokio::test]
async fn an_amount_that_the_provider_has_changed_is_told_as_it_is() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    let outcome = authorise(&stripe, &order, &card("pm_waybill_amount_mismatch"), FIRST).await;
    let Outcome::Authorised { amount, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert_ne!(amount, eur(4200));
}

#[tokio::test]
async fn a_payment_is_found_behind_more_than_a_page_of_others() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    authorised(&stripe, &order, "pm_card_visa").await;
    for _ in 0..105 {
        authorised(&stripe, &Order::new(), "pm_card_visa").await;
    }
    let outcome = authorise(&stripe, &order, &card("pm_card_visa"), AGAIN).await;
    assert!(matches!(outcome, Outcome::Authorised { .. }), "{outcome:?}");
    assert_eq!(provider.calls(order.id, "create").await, 1);
}

#[tokio::test]
async fn a_key_that_was_used_with_something_else_is_unknown_and_never_a_refusal() {
    let provider = Provider::start().await;
    let (stripe, order) = (provider.adapter(), Order::new());
    authorised(&stripe, &order, "pm_card_visa").await;
    let other_amount = Call {
        amount: eur(1),
        ..order.call("authorise")
    };
    let fault = stripe
        .create_payment(&other_amount, "pm_card_visa")
        .await
        .unwrap_err();
    assert!(matches!(fault, Fault::Unknown { .. }), "{fault:?}");
}

#[tokio::test]
async fn the_secret_key_is_in_no_text_that_could_be_logged() {
    let provider = Provider::start().await;
    let stripe = provider.adapter();
    assert!(!format!("{stripe:?}{:?}", provider.account()).contains("sk_test_orchestrator"));
}

#[tokio::test]
async fn a_base_that_is_no_url_is_refused_by_the_settings_name() {
    let config = service_kit::payment::ProviderAccount {
        url: "ftp://provider".into(),
        ..Provider::start().await.account()
    };
    let error =
        Stripe::new(&config, "http://shop.test", ANSWER_DEADLINE, Duration::ZERO).unwrap_err();
    assert!(error.to_string().contains("WAYBILL_PAYMENT_URL"), "{error}");
}

/// A server with just enough of Stripe's protocol for one scene.
async fn scene(router: axum::Router) -> Stripe {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let account = service_kit::payment::ProviderAccount {
        url: format!("http://{}/behind/a/proxy", listener.local_addr().unwrap()),
        ..Provider::start().await.account()
    };
    tokio::spawn(async move {
        axum::serve(
            listener,
            axum::Router::new().nest("/behind/a/proxy", router),
        )
        .await
    });
    Stripe::new(
        &account,
        "http://shop.test",
        ANSWER_DEADLINE,
        Duration::from_secs(900),
    )
    .unwrap()
}

#[tokio::test]
async fn a_pause_that_the_provider_asks_for_is_kept_for_every_order() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let busy = || async {
        CALLS.fetch_add(1, Ordering::SeqCst);
        (
            http::StatusCode::TOO_MANY_REQUESTS,
            [("retry-after", "1")],
            "{}",
        )
    };
    let stripe =
        scene(axum::Router::new().route("/v1/payment_intents", axum::routing::post(busy))).await;
    let started = std::time::Instant::now();
    for _ in 0..2 {
        let outcome = authorise(&stripe, &Order::new(), &card("pm_card_visa"), FIRST).await;
        assert!(
            matches!(
                outcome,
                Outcome::Retry {
                    after: Some(_),
                    reachable: true,
                    ..
                }
            ),
            "{outcome:?}"
        );
    }
    assert_eq!(CALLS.load(Ordering::SeqCst), 1);
    while started.elapsed() < Duration::from_millis(1_050) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    authorise(&stripe, &Order::new(), &card("pm_card_visa"), FIRST).await;
    assert_eq!(CALLS.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_look_up_that_is_refused_is_no_refusal_of_the_payment() {
    let refuse = || async {
        (
            http::StatusCode::BAD_REQUEST,
            r#"{"error":{"type":"invalid_request_error","message":"no lists here"}}"#,
        )
    };
    let create = || async {
        r#"{"id":"pi_1","amount":4200,"amount_capturable":4200,"currency":"eur","status":"requires_capture","metadata":null}"#
    };
    let route = axum::routing::get(refuse).post(create);
    let stripe = scene(axum::Router::new().route("/v1/payment_intents", route)).await;
    let outcome = authorise(&stripe, &Order::new(), &card("pm_card_visa"), AGAIN).await;
    assert!(
        matches!(outcome, Outcome::Authorised { .. }),
        "the same call under its key is the way out: {outcome:?}"
    );
}

#[tokio::test]
async fn answers_that_nobody_can_read_are_unknown() {
    let answers = [
        "",
        "<html>",
        r#"{"id":"pi_1"}"#,
        r#"{"id":"pi_1","amount":1,"currency":"eur","status":"dreaming"}"#,
    ];
    for answer in answers {
        let route = axum::routing::post(move || async move { answer });
        let stripe = scene(axum::Router::new().route("/v1/payment_intents", route)).await;
        let outcome = authorise(&stripe, &Order::new(), &card("pm_card_visa"), FIRST).await;
        assert!(
            matches!(outcome, Outcome::Unknown { .. }),
            "{answer:?}: {outcome:?}"
        );
    }
}
