//! What cannot be read at all, at every route that has a body.

use http::Method;
use serde_json::json;
use service_kit::Role;
use uuid::Uuid;

use crate::shop::Shop;

fn routes() -> Vec<(Role, Method, String)> {
    let id = Uuid::now_v7();
    vec![
        (Role::Admin, Method::POST, "/v1/customers".into()),
        (Role::Admin, Method::POST, "/v1/partners".into()),
        (Role::Admin, Method::PATCH, format!("/v1/partners/{id}")),
        (Role::Admin, Method::POST, "/v1/products".into()),
        (Role::Admin, Method::PATCH, format!("/v1/products/{id}")),
        (
            Role::Admin,
            Method::PUT,
            format!("/v1/partners/{id}/offers/{id}"),
        ),
        (
            Role::Admin,
            Method::POST,
            format!("/v1/inventory/{id}/receive"),
        ),
        (
            Role::Admin,
            Method::POST,
            format!("/v1/inventory/{id}/adjust"),
        ),
        (
            Role::Admin,
            Method::PUT,
            format!("/v1/inventory/{id}/threshold"),
        ),
        (Role::Customer, Method::POST, "/v1/orders/check".into()),
        (Role::Customer, Method::POST, "/v1/orders".into()),
    ]
}

#[tokio::test]
async fn bodies_that_are_no_json_no_object_too_large_or_of_another_type_are_refused_everywhere() {
    let shop = Shop::open().await;
    for (role, method, path) in routes() {
        let ask = || {
            shop.by(role, Uuid::now_v7(), method.clone(), &path)
                .new_key()
        };
        let json_type = "application/json";
        for body in ["{", "", "no json", "{\"a\":1}}"] {
            let reply = ask()
                .header("content-type", json_type)
                .raw(body)
                .send()
                .await;
            reply.is_problem(400, "unreadable_json");
        }
        for body in ["[]", "1", "null", "\"text\""] {
            let reply = ask()
                .header("content-type", json_type)
                .raw(body)
                .send()
                .await;
            reply.is_problem(422, "invalid");
        }
        ask()
            .json(&json!({"surprise": 1}))
            .send()
            .await
            .names("/surprise", "unknown_field");
        ask()
            .raw("{}")
            .send()
            .await
            .is_problem(415, "unsupported_media_type");
        let large = format!("{{\"name\": \"{}\"}}", "x".repeat(2 << 20));
        let reply = ask()
            .header("content-type", json_type)
            .raw(large)
            .send()
            .await;
        reply.is_problem(413, "body_too_large");
    }
    assert_eq!(shop.log_end().await, 0);
}

#[tokio::test]
async fn an_address_that_holds_no_id_leads_nowhere() {
    let shop = Shop::open().await;
    for (method, path) in [
        (Method::PATCH, "/v1/partners/nonsense"),
        (Method::PATCH, "/v1/products/nonsense"),
        (Method::DELETE, "/v1/products/1"),
        (Method::POST, "/v1/inventory/x/receive"),
        (Method::POST, "/v1/orders/x/cancel"),
    ] {
        let reply = shop
            .admin(method, path)
            .new_key()
            .json(&json!({}))
            .send()
            .await;
        reply.is_problem(404, "not_found");
    }
}
