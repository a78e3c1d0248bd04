//! An order as one answer, from placed to every end; its payment, its saga, its history.

use event_schema::fulfilment::{
    self, AttemptEnded, Cause, CustomerAwaited, OperatorVerb, Outcome, Step,
};
use event_schema::order::{self, CancelReason, PaymentMethod};
use event_schema::payment;
use serde_json::{Value, json};
use service_kit::Role;
use uuid::Uuid;

use crate::testing::stories::{AnOrder, eur, in_a_quarter_of_an_hour, partner, product, received};
use crate::testing::{Got, Open, Shop, to};

async fn a_shop_with(order: AnOrder) -> Open {
    let shop = Shop::new().await.open().await;
    shop.happens([
        partner(order.partner, "Corner"),
        product(order.product, Some(order.partner), "mug"),
        received(order.product, 5),
    ])
    .await;
    shop
}

async fn show(shop: &Open, order: AnOrder) -> Got {
    shop.ask(&format!("/v1/orders/{}", order.id)).await
}

/// Status of the order, of its payment, of its saga.
async fn stands(shop: &Open, order: AnOrder) -> [String; 3] {
    let body = show(shop, order).await.body;
    [
        &body["status"],
        &body["payment"]["status"],
        &body["saga"]["status"],
    ]
    .map(|text| text.as_str().unwrap().to_owned())
}

#[tokio::test]
async fn an_order_is_one_answer_with_lines_partner_payment_delivery_and_saga() {
    let order = AnOrder::new();
    let shop = a_shop_with(order).await;
    let position = shop.happens(order.by_card(&shop.shop).await).await;
    let got = show(&shop, order).await;
    let body = &got.body;
    assert_eq!(
        (&body["id"], &body["order_id"]),
        (&json!(order.id), &json!(order.id))
    );
    assert_eq!(
        body["partner"],
        json!({"id": order.partner, "title": "Corner", "brand": "Corner brand"})
    );
    let price = json!({"amount": 850, "currency": "EUR"});
    let total = json!({"amount": 1700, "currency": "EUR"});
    assert_eq!(
        body["lines"],
        json!([{"product_id": order.product, "sku": "MUG", "name": "mug", "quantity": 2,
                "unit_price": price, "total": total}])
    );
    assert_eq!(
        (&body["total"], &body["customer_id"]),
        (&total, &json!(order.customer))
    );
    assert_eq!(
        body["delivery"],
        json!({"pickup_address": null, "deliverer_id": null, "delivery_address": "7 Lane", "phone": "+49 30 7"})
    );
    assert_eq!(
        (&body["status"], &body["status_reason"]),
        (&json!("pending_payment"), &Value::Null)
    );
    assert_eq!(
        (&body["payment"]["status"], &body["payment"]["method"]),
        (&json!("pending"), &json!("card"))
    );
    assert_eq!(
        (&body["saga"]["status"], &body["saga"]["step"]),
        (&json!("running"), &json!("authorise"))
    );
    assert_eq!(got.header("etag"), Some("\"1\""));
    assert_eq!(
        got.header("waybill-position"),
        Some(position.0.to_string().as_str())
    );
}

#[tokio::test]
async fn an_order_that_is_paid_and_in_stock_is_confirmed() {
    let order = AnOrder::new();
    let shop = a_shop_with(order).await;
    shop.happens(order.by_card(&shop.shop).await).await;
    assert_eq!(
        stands(&shop, order).await,
        ["pending_payment", "pending", "running"]
    );
    shop.happens(order.held()).await;
    assert_eq!(
        stands(&shop, order).await,
        ["pending_payment", "authorised", "running"]
    );
    shop.happens([to(
        order.id,
        [payment::Event::from(payment::OutcomeUnknown {
            step: "capture".into(),
            detail: "no answer in 5 s".into(),
        })],
    )])
    .await;
    assert_eq!(
        stands(&shop, order).await,
        ["payment_unknown", "unknown", "running"]
    );
    shop.happens(order.confirmed()).await;
    assert_eq!(
        stands(&shop, order).await,
        ["confirmed", "captured", "completed"]
    );
    let body = show(&shop, order).await.body;
    let sums = json!({
        "authorised": {"amount": 1700, "currency": "EUR"},
        "captured": {"amount": 1700, "currency": "EUR"},
        "refunded": {"amount": 0, "currency": "EUR"},
    });
    assert_eq!(body["payment"]["amounts"], sums);
}

#[tokio::test]
async fn between_captured_and_confirmed_an_order_is_paid() {
    let order = AnOrder::new();
    let shop = a_shop_with(order).await;
    shop.happens(order.by_card(&shop.shop).await).await;
    shop.happens(order.held()).await;
    shop.happens([to(
        order.id,
        [payment::Event::from(payment::Captured {
            amount: eur(1700),
        })],
    )])
    .await;
    assert_eq!(stands(&shop, order).await, ["paid", "captured", "running"]);
}

#[tokio::test]
async fn money_that_went_back_past_the_shop_is_shown_and_is_owed_again_when_the_bank_returns_it() {
    let order = AnOrder::new();
    let shop = a_shop_with(order).await;
    shop.happens(order.by_card(&shop.shop).await).await;
    shop.happens(order.held()).await;
    shop.happens(order.confirmed()).await;
    let path = format!("/v1/payments/{}", order.id);
    let refunded = payment::Refunded {
        refund_id: "re_1".into(),
        amount: eur(1700),
    };
    shop.happens([to(order.id, [payment::Event::from(refunded)])])
        .await;
    assert_eq!(
        stands(&shop, order).await,
        ["confirmed", "refunded", "completed"]
    );
    let shown = shop.ask(&path).await.body;
    assert_eq!(shown["refunds"].as_array().unwrap().len(), 1, "{shown}");
    assert_eq!(shown["amounts"]["refunded"]["amount"], 1700);

    let failed = payment::RefundFailed {
        refund_id: "re_1".into(),
        amount: eur(1700),
        code: "expired_or_canceled_card".into(),
        message: "the refund failed".into(),
    };
    shop.happens([to(order.id, [payment::Event::from(failed)])])
        .await;
    let shown = shop.ask(&path).await.body;
    assert_eq!(shown["status"], "refund_pending");
    assert_eq!(shown["refunds"], json!([]));
    assert_eq!(shown["amounts"]["refunded"]["amount"], 0);
    assert_eq!(
        shown["refusal"]["code"], "expired_or_canceled_card",
        "{shown}"
    );
}

#[tokio::test]
async fn a_declined_order_is_cancelled_with_its_reason() {
    let order = AnOrder::new();
    let shop = a_shop_with(order).await;
    shop.happens(order.by_card(&shop.shop).await).await;
    shop.happens(order.declined()).await;
    assert_eq!(
        stands(&shop, order).await,
        ["cancelled", "declined", "compensated"]
    );
    let body = show(&shop, order).await.body;
    assert_eq!(body["status_reason"], "payment_declined");
    let payment = shop
        .get(
            &format!("/v1/payments/{}", order.id),
            Role::Customer,
            order.customer,
        )
        .await
        .body;
    assert_eq!(
        payment["refusal"],
        json!({"code": "card_declined", "message": "Declined."})
    );
    assert_eq!(payment["attempts"][0]["outcome"], "refused");
}

#[tokio::test]
async fn a_sold_out_order_is_cancelling_until_the_money_is_let_go_and_names_the_product() {
    let order = AnOrder::new();
    let shop = a_shop_with(order).await;
    shop.happens(order.by_card(&shop.shop).await).await;
    shop.happens(order.out_of_stock()).await;
    assert_eq!(
        stands(&shop, order).await,
        ["cancelling", "authorised", "unwinding"]
    );
    shop.happens(order.voided()).await;
    assert_eq!(
        stands(&shop, order).await,
        ["cancelled", "voided", "compensated"]
    );
    let body = show(&shop, order).await.body;
    assert_eq!(
        (&body["status_reason"], &body["status_detail"]),
        (&json!("out_of_stock"), &json!("mug"))
    );
    assert_eq!(body["payment"]["amounts"]["authorised"]["amount"], 0);
}

#[tokio::test]
async fn the_first_reason_stays_when_more_goes_wrong_on_the_way_back() {
    let order = AnOrder::new();
    let shop = a_shop_with(order).await;
    shop.happens(order.by_card(&shop.shop).await).await;
    let event = |event: order::Event| to(order.id, [event]);
    let cancelling = order::Cancelling {
        reason: CancelReason::CustomerCancelled,
        detail: None,
    };
    shop.happens([event(cancelling.into())]).await;
    let cancelled = order::Cancelled {
        reason: CancelReason::PaymentExpired,
        detail: None,
    };
    shop.happens([event(cancelled.into())]).await;
    assert_eq!(
        show(&shop, order).await.body["status_reason"],
        "customer_cancelled"
    );
}

#[tokio::test]
async fn a_hosted_checkout_shows_its_page_while_it_can_be_paid_there() {
    let order = AnOrder::new();
    let shop = a_shop_with(order).await;
    shop.happens(order.placed(&shop.shop, PaymentMethod::Checkout).await)
        .await;
    let deadline = in_a_quarter_of_an_hour();
    let page = payment::ActionRequired {
        checkout_url: "http://127.0.0.1/pay/cs_1".into(),
        session_id: Some("cs_1".into()),
        provider_payment_id: None,
        expires_at: deadline,
    };
    let awaited = CustomerAwaited {
        step: Step::Authorise,
        effect_id: order.effect("authorise"),
        deadline,
    };
    shop.happens([
        to(order.id, [payment::Event::from(page)]),
        to(order.id, [fulfilment::Event::from(awaited)]),
    ])
    .await;
    let body = show(&shop, order).await.body;
    assert_eq!(
        (
            &body["payment"]["checkout_url"],
            &body["payment"]["method"],
            &body["status"]
        ),
        (
            &json!("http://127.0.0.1/pay/cs_1"),
            &json!("checkout"),
            &json!("pending_payment")
        )
    );
    let saga = shop.ask(&format!("/v1/sagas/{}", order.id)).await.body;
    assert_eq!(saga["steps"][0]["state"], "awaiting_customer");
    shop.happens(order.held()).await;
    assert!(
        show(&shop, order).await.body["payment"]
            .get("checkout_url")
            .is_none()
    );
}

#[tokio::test]
async fn an_order_is_its_customers_its_partners_and_the_admins_and_nobody_elses() {
    let order = AnOrder::new();
    let shop = a_shop_with(order).await;
    shop.happens(order.by_card(&shop.shop).await).await;
    shop.happens(order.held()).await;
    let stranger = Uuid::now_v7();
    for path in [
        format!("/v1/orders/{}", order.id),
        format!("/v1/orders/{}/history", order.id),
    ] {
        for (role, who, status) in [
            (Role::Customer, order.customer, 200),
            (Role::Partner, order.partner, 200),
            (Role::Admin, stranger, 200),
            (Role::Customer, stranger, 404),
            (Role::Partner, stranger, 404),
            // His id is the customer's, but he does not ask as a customer.
            (Role::Partner, order.customer, 404),
            (Role::Deliverer, order.customer, 403),
        ] {
            assert_eq!(
                shop.get(&path, role, who).await.status,
                status,
                "{path} {role}"
            );
        }
    }
    let path = format!("/v1/payments/{}", order.id);
    assert_eq!(
        shop.get(&path, Role::Customer, order.customer).await.status,
        200
    );
    assert_eq!(shop.get(&path, Role::Customer, stranger).await.status, 404);
    assert_eq!(
        shop.get(&path, Role::Partner, order.partner).await.status,
        403
    );
    assert_eq!(
        shop.get("/v1/orders", Role::Customer, order.customer)
            .await
            .ids(),
        [order.id.to_string()]
    );
    assert_eq!(
        shop.get("/v1/orders", Role::Partner, order.partner)
            .await
            .ids(),
        [order.id.to_string()]
    );
    assert!(
        shop.get("/v1/orders", Role::Customer, stranger)
            .await
            .ids()
            .is_empty()
    );
    assert_eq!(
        shop.get("/v1/sagas", Role::Customer, order.customer)
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn only_admins_see_the_providers_names() {
    let order = AnOrder::new();
    let shop = a_shop_with(order).await;
    shop.happens(order.by_card(&shop.shop).await).await;
    shop.happens(order.held()).await;
    assert_eq!(
        show(&shop, order).await.body["payment"]["provider_payment_id"],
        "pi_1"
    );
    let own = shop
        .get(
            &format!("/v1/orders/{}", order.id),
            Role::Customer,
            order.customer,
        )
        .await;
    assert!(own.body["payment"].get("provider_payment_id").is_none());
    let own = shop
        .get(
            &format!("/v1/payments/{}", order.id),
            Role::Customer,
            order.customer,
        )
        .await;
    assert!(own.body.get("provider_payment_id").is_none());
}

#[tokio::test]
async fn orders_are_listed_newest_first_by_status_and_page_by_page() {
    let shop = Shop::new().await.open().await;
    let customer = Uuid::now_v7();
    let orders: Vec<AnOrder> = (0..3)
        .map(|_| AnOrder {
            customer,
            ..AnOrder::new()
        })
        .collect();
    for order in &orders {
        shop.happens(order.by_card(&shop.shop).await).await;
    }
    shop.happens(orders[1].declined()).await;
    let newest_first: Vec<String> = orders
        .iter()
        .rev()
        .map(|order| order.id.to_string())
        .collect();
    assert_eq!(
        shop.get("/v1/orders", Role::Customer, customer).await.ids(),
        newest_first
    );
    let cancelled = shop
        .get("/v1/orders?status=cancelled", Role::Customer, customer)
        .await;
    assert_eq!(cancelled.ids(), [orders[1].id.to_string()]);
    let first = shop
        .get("/v1/orders?limit=2", Role::Customer, customer)
        .await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = shop
        .get(
            &format!("/v1/orders?limit=2&cursor={cursor}"),
            Role::Customer,
            customer,
        )
        .await;
    assert_eq!([first.ids(), second.ids()].concat(), newest_first);
}

#[tokio::test]
async fn a_history_tells_every_event_in_the_order_of_the_log_and_never_shows_ciphertext() {
    let order = AnOrder::new();
    let shop = a_shop_with(order).await;
    shop.happens(order.by_card(&shop.shop).await).await;
    shop.happens(order.held()).await;
    let path = format!("/v1/orders/{}/history", order.id);
    let got = shop.get(&path, Role::Customer, order.customer).await;
    let events = got.body["data"].as_array().unwrap();
    let types: Vec<&str> = events
        .iter()
        .map(|event| event["event_type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        [
            "fulfilment.started",
            "fulfilment.intended",
            "payment.requested",
            "order.placed",
            "payment.authorised",
            "payment.capture_requested",
            "fulfilment.step_ended",
            "fulfilment.step_ended",
            "fulfilment.intended",
        ]
    );
    let positions: Vec<u64> = events
        .iter()
        .map(|event| event["position"].as_u64().unwrap())
        .collect();
    assert!(positions.is_sorted());
    let placed = &events[3]["data"];
    assert_eq!(
        (&placed["delivery_address"], &placed["phone"]),
        (&json!("7 Lane"), &json!("+49 30 7"))
    );
    assert!(
        placed["lines"][0].get("unit_cost").is_none(),
        "what a unit costs the seller is not the customer's business"
    );
    assert!(!got.body.to_string().contains("sealed"));
    assert!(!got.body.to_string().contains("pi_1"));
    assert_eq!(
        (&events[6]["step"], &events[6]["outcome"]),
        (&json!("authorise"), &json!("ok"))
    );

    let sellers = shop.get(&path, Role::Partner, order.partner).await;
    assert_eq!(
        sellers.body["data"][3]["data"]["lines"][0]["unit_cost"]["amount"],
        400
    );
    let admins = shop.ask(&path).await;
    assert!(admins.body.to_string().contains("pi_1"));

    shop.shop.vault.destroy(order.customer).await.unwrap();
    let erased = shop.ask(&path).await;
    assert_eq!(erased.body["data"][3]["data"]["phone"], Value::Null);
    assert!(!erased.body.to_string().contains("sealed"));
}

#[tokio::test]
async fn a_saga_shows_its_steps_money_and_stock_as_operators_know_them() {
    let order = AnOrder::new();
    let shop = a_shop_with(order).await;
    shop.happens(order.by_card(&shop.shop).await).await;
    shop.happens(order.held()).await;
    let position = shop
        .happens([to(
            order.id,
            [fulfilment::Event::from(AttemptEnded {
                step: Step::Capture,
                effect_id: order.effect("capture"),
                attempt: 1,
                outcome: Outcome::Unknown,
                detail: "no answer in 5 s".into(),
                budget_used_ms: 5_000,
                deadline: in_a_quarter_of_an_hour(),
            })],
        )])
        .await;
    let saga = shop.ask(&format!("/v1/sagas/{}", order.id)).await.body;
    assert_eq!(
        (
            &saga["id"],
            &saga["status"],
            &saga["step"],
            &saga["cause"],
            &saga["position"]
        ),
        (
            &json!(order.id),
            &json!("running"),
            &json!("capture"),
            &Value::Null,
            &json!(position.0)
        )
    );
    let steps: Vec<Value> = saga["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| json!([step["step"], step["state"], step["tries"], step["outcome"]]))
        .collect();
    assert_eq!(
        steps,
        [
            json!(["authorise", "done", 1, "ok"]),
            json!(["hold", "done", 1, "ok"]),
            json!(["capture", "backing_off", 1, "unknown"]),
            json!(["commit", "waiting", 0, null]),
        ]
    );
    assert_eq!(
        saga["steps"][2]["effect_id"],
        json!(order.effect("capture").uuid())
    );
    assert_eq!(
        saga["stock"],
        json!([{"product_id": order.product, "quantity": 2, "held": 2, "sold": 0}])
    );
    assert_eq!(
        saga["money"]["authorised"],
        json!({"amount": 1700, "currency": "EUR"})
    );

    shop.happens(order.confirmed()).await;
    let saga = shop.ask(&format!("/v1/sagas/{}", order.id)).await.body;
    assert_eq!(
        (&saga["status"], &saga["step"]),
        (&json!("completed"), &Value::Null)
    );
    assert_eq!(saga["stock"][0]["sold"], 2);
}

#[tokio::test]
async fn a_saga_that_needs_a_person_is_found_by_its_status_and_step_until_somebody_acts() {
    let (order, other) = (AnOrder::new(), AnOrder::new());
    let shop = a_shop_with(order).await;
    shop.happens(order.by_card(&shop.shop).await).await;
    shop.happens(other.by_card(&shop.shop).await).await;
    shop.happens(order.out_of_stock()).await;
    let refused = order.ended(
        Step::Void,
        Outcome::Refused,
        Some("charge_already_captured"),
    );
    let needs = fulfilment::NeedsOperator {
        step: Step::Void,
        cause: Cause::VoidRefused,
        detail: "the provider refuses".into(),
    };
    shop.happens([to(order.id, [refused, needs.into()])]).await;
    let found = shop.ask("/v1/sagas?status=needs_operator&step=void").await;
    assert_eq!(found.ids(), [order.id.to_string()]);
    assert_eq!(
        (
            &found.body["data"][0]["cause"],
            &found.body["data"][0]["detail"]
        ),
        (&json!("void_refused"), &json!("the provider refuses"))
    );
    assert_eq!(
        shop.ask("/v1/sagas?status=running").await.ids(),
        [other.id.to_string()]
    );
    let summary = show(&shop, order).await.body["saga"].clone();
    assert_eq!(
        (&summary["status"], &summary["cause"]),
        (&json!("needs_operator"), &json!("void_refused"))
    );

    shop.happens([to(order.id, [order.intended(Step::Void)])])
        .await;
    let saga = shop.ask(&format!("/v1/sagas/{}", order.id)).await.body;
    assert_eq!(
        (&saga["status"], &saga["cause"]),
        (&json!("unwinding"), &Value::Null)
    );
    assert_eq!(
        shop.ask(&format!("/v1/sagas/{}", Uuid::now_v7()))
            .await
            .code(),
        "not_found"
    );
}

#[tokio::test]
async fn what_a_person_settles_or_closes_is_shown_as_he_left_it() {
    let (settled, closed) = (AnOrder::new(), AnOrder::new());
    let shop = a_shop_with(settled).await;
    let commanded = |command, step| {
        fulfilment::Event::from(fulfilment::OperatorCommanded {
            command,
            step,
            outcome: None,
            evidence: None,
            reason: "paid by bank transfer 8831".into(),
            command_id: event_schema::ids::CommandId(Uuid::now_v7()),
        })
    };
    let ends = |left_due| {
        fulfilment::Event::from(fulfilment::Closed {
            left_due,
            reason: "paid by bank transfer 8831".into(),
        })
    };
    for order in [settled, closed] {
        shop.happens(order.by_card(&shop.shop).await).await;
        shop.happens(order.out_of_stock()).await;
        let needs = fulfilment::NeedsOperator {
            step: Step::Void,
            cause: Cause::VoidRefused,
            detail: "the provider refuses".into(),
        };
        let refused = order.ended(Step::Void, Outcome::Refused, Some("no"));
        shop.happens([to(order.id, [refused, needs.into()])]).await;
    }

    // Tried again it goes on counting, and needs the person again.
    let retried = commanded(OperatorVerb::Retry, Some(Step::Void));
    shop.happens([to(settled.id, [retried, settled.intended(Step::Void)])])
        .await;
    let saga = shop.ask(&format!("/v1/sagas/{}", settled.id)).await.body;
    let void = |saga: &Value| {
        let steps = saga["steps"].as_array().unwrap();
        steps
            .iter()
            .find(|step| step["step"] == "void")
            .unwrap()
            .clone()
    };
    assert_eq!(
        (&void(&saga)["state"], &void(&saga)["tries"]),
        (&json!("in_flight"), &json!(1))
    );
    let again = fulfilment::NeedsOperator {
        step: Step::Void,
        cause: Cause::VoidRefused,
        detail: "the provider refuses".into(),
    };
    shop.happens([to(settled.id, [fulfilment::Event::from(again)])])
        .await;

    shop.happens([
        to(
            settled.id,
            [
                commanded(OperatorVerb::Skip, Some(Step::Void)),
                ends(vec![]),
            ],
        ),
        to(
            settled.id,
            [order::Event::from(order::Cancelled {
                reason: CancelReason::OutOfStock,
                detail: None,
            })],
        ),
        to(
            settled.id,
            [payment::Event::from(payment::SettledOutside {
                step: "void".into(),
                amount: eur(1700),
                reason: "paid by bank transfer 8831".into(),
            })],
        ),
    ])
    .await;
    let shown = show(&shop, settled).await.body;
    assert_eq!(
        (
            &shown["status"],
            &shown["payment"]["status"],
            &shown["saga"]["status"]
        ),
        (&json!("cancelled"), &json!("voided"), &json!("closed"))
    );
    let saga = shop.ask(&format!("/v1/sagas/{}", settled.id)).await.body;
    assert_eq!(
        (&void(&saga)["state"], &saga["cause"], &saga["deadline"]),
        (&json!("skipped"), &Value::Null, &Value::Null)
    );

    shop.happens([to(
        closed.id,
        [
            commanded(OperatorVerb::Close, None),
            ends(vec![Step::Void]),
            // Nothing brings it back.
            closed.intended(Step::Void),
        ],
    )])
    .await;
    let shown = show(&shop, closed).await.body;
    assert_eq!(
        (&shown["status"], &shown["saga"]["status"]),
        (&json!("cancelling"), &json!("closed"))
    );
    assert_eq!(
        shop.ask("/v1/sagas?status=closed").await.ids().len(),
        2,
        "both are found"
    );
}
