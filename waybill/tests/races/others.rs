//! What belongs to somebody else does not exist: 404 for whoever asks for it or wants to change it.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::answer;
use uuid::Uuid;

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_somebody_elses_is_404_for_everybody_else() {
    let stage = Stage::open().await;
    let stranger = Uuid::now_v7().to_string();
    let customer = stage.person("customer", Some(&stranger)).await;
    let partner = stage.person("partner", Some(&stranger)).await;
    let (order, product) = (&stage.order, &stage.product);
    let price = json!({"price": {"amount": 1, "currency": "EUR"}, "active": true});
    let nothing = Value::Null;
    let notice = stage.customer.get("/v1/notifications").await.ok();
    let notice = notice["data"][0]["id"].as_str().unwrap();
    let before = stage.log_end().await;
    for (who, method, path, body) in [
        (
            &customer,
            Method::GET,
            format!("/v1/orders/{order}"),
            &nothing,
        ),
        (
            &customer,
            Method::GET,
            format!("/v1/orders/{order}/history"),
            &nothing,
        ),
        (
            &customer,
            Method::GET,
            format!("/v1/payments/{order}"),
            &nothing,
        ),
        (
            &customer,
            Method::POST,
            format!("/v1/orders/{order}/cancel"),
            &nothing,
        ),
        (
            &customer,
            Method::POST,
            format!("/v1/notifications/{notice}/read"),
            &nothing,
        ),
        (
            &partner,
            Method::DELETE,
            format!("/v1/notifications/{notice}"),
            &nothing,
        ),
        (
            &stage.admin,
            Method::DELETE,
            format!("/v1/notifications/{notice}"),
            &nothing,
        ),
        (
            &partner,
            Method::GET,
            format!("/v1/orders/{order}"),
            &nothing,
        ),
        (
            &partner,
            Method::GET,
            format!("/v1/orders/{order}/history"),
            &nothing,
        ),
        (
            &partner,
            Method::POST,
            format!("/v1/orders/{order}/ready"),
            &json!({"pickup_address": "1 Main Street"}),
        ),
        (
            &partner,
            Method::GET,
            format!("/v1/products/{product}"),
            &nothing,
        ),
        (
            &partner,
            Method::PATCH,
            format!("/v1/products/{product}"),
            &json!({"name": "Mine"}),
        ),
        (
            &partner,
            Method::DELETE,
            format!("/v1/products/{product}"),
            &nothing,
        ),
        (
            &partner,
            Method::GET,
            format!("/v1/inventory/{product}"),
            &nothing,
        ),
        (
            &partner,
            Method::POST,
            format!("/v1/inventory/{product}/receive"),
            &json!({"quantity": 1}),
        ),
        (
            &partner,
            Method::POST,
            format!("/v1/inventory/{product}/adjust"),
            &json!({"quantity": 1, "reason": "mine"}),
        ),
        (
            &partner,
            Method::PUT,
            format!("/v1/inventory/{product}/threshold"),
            &json!({"low_stock_threshold": 1}),
        ),
        (
            &partner,
            Method::GET,
            format!("/v1/partners/{}", stage.partner),
            &nothing,
        ),
        (
            &partner,
            Method::PUT,
            format!("/v1/partners/{}/offers/{product}", stage.partner),
            &price,
        ),
        (
            &partner,
            Method::DELETE,
            format!("/v1/partners/{}/offers/{product}", stage.partner),
            &nothing,
        ),
    ] {
        let mut request = who
            .request(method.clone(), &path)
            .header("Idempotency-Key", Uuid::now_v7().to_string());
        if !body.is_null() {
            request = request.json(body);
        }
        let told = answer(request).await;
        assert_eq!(
            (told.status.as_u16(), told.body["code"].as_str()),
            (404, Some("not_found")),
            "{method} {path}: {told:?}"
        );
    }
    assert_eq!(stage.log_end().await, before, "a stranger left something");
    let own = customer.get("/v1/orders").await.ok();
    assert_eq!(own["data"], json!([]), "nor is it in a stranger's list");
    let inbox = customer.get("/v1/notifications").await.ok();
    assert_eq!(inbox["data"], json!([]));
}
