//! Orders on their way: by the partner's system, by route and over the broker; told, shown and added up.

use async_nats::HeaderMap;
use futures::future::join_all;
use serde_json::{Value, json};
use testkit::within;

use crate::stage::{Stage, kinds, someone, told};

const WHERE: &str = "1 Main Street, back door";

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_prepared_taken_delivered_told_and_added_up() {
    let mut stage = Stage::open().await;
    let mug = stage.product("Corner", 10).await;
    let ada = stage.customer().await;
    let order = stage.confirmed(&ada, &mug, 2).await;
    told(&ada, "order_confirmed").await;

    // The partner's system tells that it is prepared, and tells it again.
    let ready =
        json!({"type": "order.ready", "data": {"order_id": order, "pickup_address": WHERE}});
    let said = stage.partners_system_says("msg_1", &ready).await;
    let position = said.position;
    assert_eq!(said.ok(), json!({"received": true}));
    let again = stage.partners_system_says("msg_1", &ready).await;
    assert_eq!((again.status.as_u16(), again.position), (200, position));
    told(&ada, "order_ready").await;

    // Ten deliverers see it without its address; all reach for it and one gets it.
    let mut deliverers = Vec::new();
    for _ in 0..10 {
        deliverers.push(stage.deliverer().await);
    }
    let waiting = deliverers[0].0.get("/v1/deliveries").await.ok();
    assert_eq!(waiting["data"][0]["id"], json!(order), "{waiting}");
    assert_eq!(waiting["data"][0]["pickup_address"], WHERE);
    assert_eq!(waiting["data"][0]["delivery_address"], Value::Null);
    let path = format!("/v1/orders/{order}/assign");
    let nothing = json!({});
    let tries = deliverers
        .iter()
        .map(|(person, _)| person.post(&path, &nothing));
    let answers = join_all(tries).await;
    let winner = answers
        .iter()
        .position(|answer| answer.status == 200)
        .expect("somebody takes it");
    for (number, answer) in answers.into_iter().enumerate() {
        if number != winner {
            answer.refused(409, "already_taken");
        }
    }
    told(&ada, "order_on_its_way").await;
    let (ben, ben_id) = &deliverers[winner];
    let his = ben.get("/v1/deliveries").await.ok();
    assert_eq!(his["data"][0]["status"], "delivering");
    assert_eq!(
        his["data"][0]["delivery_address"],
        "Unter den Linden 1, Berlin"
    );
    let (eve, _) = &deliverers[(winner + 1) % deliverers.len()];
    assert_eq!(eve.get("/v1/deliveries").await.ok()["data"], json!([]));

    let path = format!("/v1/orders/{order}/deliver");
    eve.post(&path, &nothing).await.refused(404, "not_found");
    ben.post(&path, &nothing).await.ok();
    let inbox = told(&ada, "order_delivered").await;
    assert_eq!(
        inbox,
        [
            "order_delivered",
            "order_on_its_way",
            "order_ready",
            "order_confirmed",
            "order_placed",
            "customer_added"
        ]
    );

    // The order shows all of it, and so does its history.
    let shown = ada.order_becomes(&order, "delivered").await;
    assert_eq!(
        shown["delivery"],
        json!({"pickup_address": WHERE, "deliverer_id": ben_id,
               "delivery_address": "Unter den Linden 1, Berlin", "phone": "+49 30 7654321"})
    );
    let history = ada.get(&format!("/v1/orders/{order}/history")).await.ok();
    let types: Vec<&str> = history["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["aggregate"] == "order")
        .map(|event| event["event_type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        [
            "order.placed",
            "order.confirmed",
            "order.ready",
            "order.assigned",
            "order.delivered"
        ]
    );

    // A second order is refused by the card and is no sale.
    let refused = ada
        .order(&stage.partner, &mug, 1, "pm_card_visa_chargeDeclined")
        .await;
    ada.order_becomes(&refused, "cancelled").await;
    let report = sold(&stage, "brand").await;
    let eur = |amount: i64| json!({"amount": amount, "currency": "EUR"});
    assert_eq!(
        report["data"],
        json!([{"key": "Corner", "brand": "Corner", "currency": "EUR", "units": 2, "revenue": eur(4000),
                "cost": eur(1600), "profit": eur(2400)}])
    );
    let said = stage
        .shop
        .operator(&["projections", "rebuild", "sales"])
        .await;
    assert!(said.contains("sales"), "{said}");
    assert_eq!(sold(&stage, "brand").await["data"], report["data"]);
    stage.shop.stop().await;
}

/// The seller's report, once there is something in it.
async fn sold(stage: &Stage, group: &str) -> Value {
    let path = format!("/v1/reports/sales?group_by={group}");
    within("the report shows the sale", || async {
        let report = stage.seller.get(&path).await.ok();
        (report["data"] != json!([])).then_some(report)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_commands_work_over_the_broker() {
    let mut stage = Stage::open().await;
    let mug = stage.product("Corner", 10).await;
    let ada = stage.customer().await;
    let order = stage.confirmed(&ada, &mug, 1).await;
    let client = async_nats::connect(stage.shop.exported("NATS_URL"))
        .await
        .unwrap();
    let token = async |role: &str, id: &str| {
        let arguments = ["token", "--role", role, "--subject", id];
        format!("Bearer {}", stage.shop.operator(&arguments).await.trim())
    };
    let ask = async |subject: &'static str, token: &str, body: Value| {
        let mut headers = HeaderMap::new();
        headers.insert("Authorization", token);
        let message = client
            .request_with_headers(subject, headers, body.to_string().into())
            .await
            .unwrap();
        let status = message.headers.as_ref().unwrap().get("Status").unwrap();
        let body: Value = serde_json::from_slice(&message.payload).unwrap();
        (status.as_str().to_owned(), body)
    };
    let (_, ben) = stage.deliverer().await;
    let as_partner = token("partner", &stage.partner).await;
    let as_ben = token("deliverer", &ben).await;
    let ready = json!({"order_id": order, "pickup_address": WHERE});
    let (status, _) = ask("cmd.orders.ready", &as_ben, ready.clone()).await;
    assert_eq!(status, "403");
    let (status, body) = ask("cmd.orders.ready", &as_partner, ready).await;
    assert_eq!((status.as_str(), &body["status"]), ("200", &json!("ready")));
    for (subject, becomes) in [
        ("cmd.orders.assign", "delivering"),
        ("cmd.orders.deliver", "delivered"),
    ] {
        let (status, body) = ask(subject, &as_ben, json!({"order_id": order})).await;
        assert_eq!((status.as_str(), &body["status"]), ("200", &json!(becomes)));
    }
    ada.order_becomes(&order, "delivered").await;
    stage.shop.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_is_warned_once_for_each_time_a_stock_runs_low() {
    let mut stage = Stage::open().await;
    let mug = stage.product("Corner", 6).await;
    let path = format!("/v1/inventory/{mug}/threshold");
    let threshold = stage
        .seller
        .request(reqwest::Method::PUT, &path)
        .json(&json!({"low_stock_threshold": 4}));
    testkit::answer(threshold).await.ok();
    let warnings = async || {
        let inbox = stage.seller.get("/v1/notifications?limit=100").await.ok();
        let kinds = kinds(&inbox);
        kinds.iter().filter(|kind| *kind == "low_stock").count()
    };
    let ada = stage.customer().await;
    stage.confirmed(&ada, &mug, 1).await; // 5
    assert_eq!(warnings().await, 0);
    stage.confirmed(&ada, &mug, 1).await; // 4
    told(&stage.seller, "low_stock").await;
    stage.confirmed(&ada, &mug, 1).await; // 3
    stage.confirmed(&ada, &mug, 1).await; // 2
    let receive = format!("/v1/inventory/{mug}/receive");
    let more = stage.seller.post(&receive, &json!({"quantity": 5})).await; // 7
    more.ok();
    let last = stage.confirmed(&ada, &mug, 3).await; // 4
    ada.order_becomes(&last, "confirmed").await;
    within("the second warning", || async {
        (warnings().await == 2).then_some(())
    })
    .await;
    // Nobody else hears of it.
    let other = someone(&stage.shop, "partner", &uuid::Uuid::now_v7().to_string()).await;
    let inbox = other.get("/v1/notifications").await.ok();
    assert_eq!(inbox["data"], json!([]));
    stage.shop.stop().await;
}
