//! The whole shop as a deployment runs it: every role a process with its own credentials, given as compose gives them,
//! and not one refusal in the brokers' logs.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Person, within};

use crate::deployment::Deployment;

/// Opens the shop: gives a partner, a product of his with stock, and a customer's id.
async fn opened(admin: &Person) -> (String, String, String) {
    let id = |made: Value| made["id"].as_str().unwrap().to_owned();
    let eur = |amount: i64| json!({"amount": amount, "currency": "EUR"});
    let partner = json!({
        "title": "P", "brand": "P", "phone": "+49 30 1", "email": "p@example.com", "address": "Berlin",
    });
    let partner = id(admin.post("/v1/partners", &partner).await.ok());
    for step in ["verify", "enable"] {
        let path = format!("/v1/partners/{partner}/{step}");
        admin.post(&path, &json!({})).await.ok();
    }
    let product = json!({"sku": "S-1", "name": "Thing", "brand": "P", "category": "things", "unit_cost": eur(400)});
    let product = id(admin.post("/v1/products", &product).await.ok());
    let offer = admin
        .request(
            Method::PUT,
            &format!("/v1/partners/{partner}/offers/{product}"),
        )
        .json(&json!({"price": eur(1000), "active": true}));
    testkit::answer(offer).await.ok();
    let path = format!("/v1/inventory/{product}/receive");
    admin.post(&path, &json!({"quantity": 10})).await.ok();
    let customer = json!({"name": "Ada", "email": "ada@example.com"});
    let customer = id(admin.post("/v1/customers", &customer).await.ok());
    (partner, product, customer)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_does_its_work_with_its_own_credentials() {
    let mut deployment = Deployment::start().await;
    let admin = deployment.person("command-api", "admin", None).await;
    let (partner, product, customer) = opened(&admin).await;
    let buyer = deployment
        .person("command-api", "customer", Some(&customer))
        .await;
    let reader = deployment
        .person("projector", "customer", Some(&customer))
        .await;

    // An order that goes well, one that is put back, one whose payment is looked up, one that is cancelled.
    let paid = buyer.order(&partner, &product, 2, "pm_card_visa").await;
    let declined = "pm_card_visa_chargeDeclined";
    let declined = buyer.order(&partner, &product, 1, declined).await;
    let slow = buyer.order(&partner, &product, 1, "pm_waybill_slow").await;
    reader.order_becomes(&paid, "confirmed").await;
    reader.order_becomes(&declined, "cancelled").await;
    reader.order_becomes(&slow, "confirmed").await;
    let history = reader.get(&format!("/v1/orders/{paid}/history")).await.ok();
    assert!(
        history["data"]
            .as_array()
            .is_some_and(|events| !events.is_empty())
    );

    // An operator sees all of it, and works by the desks.
    assert!(
        deployment
            .operator(&["topology", "verify"])
            .await
            .contains("as wanted")
    );
    assert!(
        deployment
            .operator(&["projections", "ls"])
            .await
            .contains("orders")
    );
    deployment
        .operator(&["projections", "rebuild", "orders"])
        .await;
    deployment
        .operator(&["projections", "verify", "orders"])
        .await;
    let tail = deployment
        .operator(&["events", "tail", "--no-follow"])
        .await;
    assert!(tail.contains("fulfilment.completed"), "{tail}");
    // Whoever bought is told, by the only provider that is set: the log.
    within("the confirmation of the order is out", || async {
        let tail = ["events", "tail", "--no-follow", "--subject"];
        let tail = [&tail[..], &["evt.notification.>"]].concat();
        let said = deployment.operator(&tail).await;
        let mut settled = said.lines();
        let of_order = |line: &str| line.contains("notification.settled") && line.contains(&paid);
        settled.any(of_order).then_some(())
    })
    .await;
    deployment.operator(&["audit", "--every-position"]).await;
    let operator = deployment.brokers.connect("operator", "operator").await;
    let ask = async |subject: &'static str, body: &str| {
        let answer = operator
            .request(subject, body.to_owned().into())
            .await
            .unwrap();
        String::from_utf8(answer.payload.to_vec()).unwrap()
    };
    assert!(ask("saga.list", "").await.contains(&paid));
    let shown = ask("saga.show", &paid).await;
    assert!(shown.contains("COMPLETED"), "{shown}");
    assert!(ask("projections.ls", "").await.contains("orders"));
    let rebuilt = ask("projections.rebuild", r#"{"name": "orders", "wait": true}"#).await;
    assert!(rebuilt.contains("rebuilt"), "{rebuilt}");

    // What is the projector's business is passed on to it by the command-api.
    let verified = admin
        .post("/v1/projections/orders/verify", &json!({}))
        .await;
    assert_eq!(verified.ok()["same"], true);

    // So is whose a notification is.
    let inbox = reader.get("/v1/notifications").await.ok();
    let newest = inbox["data"][0]["id"].as_str().unwrap();
    let path = format!("/v1/notifications/{newest}/read");
    let read = buyer.post(&path, &json!({})).await;
    assert_eq!(read.status, 204, "{read:?}");
    let cleared = testkit::answer(buyer.request(Method::DELETE, "/v1/notifications")).await;
    assert_eq!(cleared.status, 204, "{cleared:?}");

    // The log can be carried away by who moves house, and by nobody who works here.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    let export = ["events", "export", "--out", file.to_str().unwrap()];
    deployment.says(&export, Some("mover"), None).await;
    assert!(file.metadata().unwrap().len() > 0);

    // Somebody else's program sends commands over the broker, and hears the answer.
    let caller = async_nats::ConnectOptions::with_user_and_password(
        "caller".into(),
        "a caller's own".into(),
    )
    .custom_inbox_prefix(service_kit::nats::inbox_prefix("caller"))
    .connect(deployment.brokers.addresses("nats"))
    .await
    .unwrap();
    let answer = caller
        .request("cmd.orders.cancel", "{}".into())
        .await
        .unwrap();
    let problem: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(problem["status"], 422, "{problem}");

    // Giving shares and signs of life back is work as well.
    for program in &mut deployment.programs {
        program.signal("TERM").await;
        let status = program.ended().await;
        assert!(status.success(), "{status}: {}", program.said());
    }
    assert_eq!(deployment.brokers.violations(), Vec::<String>::new());
}
