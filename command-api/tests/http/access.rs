//! Who may knock where: every registered route against every role, and what is not there at all.

use http::Method;
use serde_json::json;
use service_kit::{Access, Role};
use uuid::Uuid;

use crate::shop::Shop;

const ADMIN: &[Role] = &[Role::Admin];
const ADMIN_PARTNER: &[Role] = &[Role::Admin, Role::Partner];
const DELIVERER: &[Role] = &[Role::Deliverer];
const CUSTOMER: &[Role] = &[Role::Customer];
const CUSTOMER_ADMIN: &[Role] = &[Role::Customer, Role::Admin];

/// The table of the API's description, typed in again by hand; `None` is signed.
fn expected() -> Vec<(Method, &'static str, Option<&'static [Role]>)> {
    vec![
        (Method::PATCH, "/v1/customers/{id}", Some(ADMIN)),
        (Method::DELETE, "/v1/customers/{id}", Some(ADMIN)),
        (Method::PATCH, "/v1/me", Some(&Role::ALL)),
        (Method::DELETE, "/v1/me", Some(&Role::ALL)),
        (Method::PUT, "/v1/me/avatar", Some(&Role::ALL)),
        (Method::POST, "/v1/auth/password/change", Some(&Role::ALL)),
        (Method::POST, "/v1/customers", Some(ADMIN)),
        (Method::POST, "/v1/resources", Some(ADMIN)),
        (Method::PATCH, "/v1/resources/{id}", Some(ADMIN)),
        (Method::DELETE, "/v1/resources/{id}", Some(ADMIN)),
        (Method::POST, "/v1/customers/{id}/resources", Some(ADMIN)),
        (
            Method::DELETE,
            "/v1/customers/{id}/resources/{resource_id}",
            Some(ADMIN),
        ),
        (Method::PUT, "/v1/payment-providers", Some(ADMIN)),
        (Method::PUT, "/v1/notification-agents", Some(ADMIN)),
        (
            Method::POST,
            "/v1/notification-deliveries/{id}/replay",
            Some(ADMIN),
        ),
        (
            Method::POST,
            "/v1/partners/{id}/webhooks/replay",
            Some(ADMIN),
        ),
        (
            Method::POST,
            "/v1/notifications/{id}/read",
            Some(&Role::ALL),
        ),
        (Method::DELETE, "/v1/notifications/{id}", Some(&Role::ALL)),
        (Method::DELETE, "/v1/notifications", Some(&Role::ALL)),
        (
            Method::POST,
            "/v1/partners/{id}/webhook-secret",
            Some(ADMIN),
        ),
        (Method::POST, "/v1/partners", Some(ADMIN)),
        (Method::PATCH, "/v1/partners/{id}", Some(ADMIN)),
        (Method::POST, "/v1/partners/{id}/verify", Some(ADMIN)),
        (Method::POST, "/v1/partners/{id}/enable", Some(ADMIN)),
        (Method::POST, "/v1/partners/{id}/disable", Some(ADMIN)),
        (Method::POST, "/v1/products", Some(ADMIN_PARTNER)),
        (Method::PATCH, "/v1/products/{id}", Some(ADMIN_PARTNER)),
        (Method::DELETE, "/v1/products/{id}", Some(ADMIN_PARTNER)),
        (
            Method::PUT,
            "/v1/partners/{id}/offers/{product_id}",
            Some(ADMIN_PARTNER),
        ),
        (
            Method::DELETE,
            "/v1/partners/{id}/offers/{product_id}",
            Some(ADMIN_PARTNER),
        ),
        (
            Method::POST,
            "/v1/inventory/{product_id}/receive",
            Some(ADMIN_PARTNER),
        ),
        (
            Method::POST,
            "/v1/inventory/{product_id}/adjust",
            Some(ADMIN_PARTNER),
        ),
        (
            Method::PUT,
            "/v1/inventory/{product_id}/threshold",
            Some(ADMIN_PARTNER),
        ),
        (Method::POST, "/v1/orders/check", Some(CUSTOMER)),
        (Method::POST, "/v1/orders", Some(CUSTOMER)),
        (Method::POST, "/v1/orders/{id}/cancel", Some(CUSTOMER_ADMIN)),
        (Method::POST, "/v1/orders/{id}/ready", Some(ADMIN_PARTNER)),
        (Method::POST, "/v1/orders/{id}/assign", Some(DELIVERER)),
        (Method::POST, "/v1/orders/{id}/deliver", Some(DELIVERER)),
        (Method::POST, "/v1/sagas/{id}/retry", Some(ADMIN)),
        (Method::POST, "/v1/sagas/{id}/skip", Some(ADMIN)),
        (Method::POST, "/v1/sagas/{id}/resolve", Some(ADMIN)),
        (Method::POST, "/v1/sagas/{id}/abort", Some(ADMIN)),
        (Method::POST, "/v1/sagas/{id}/close", Some(ADMIN)),
        (Method::POST, "/v1/projections/{name}/pause", Some(ADMIN)),
        (Method::POST, "/v1/projections/{name}/resume", Some(ADMIN)),
        (Method::POST, "/v1/projections/{name}/rebuild", Some(ADMIN)),
        (Method::POST, "/v1/projections/{name}/verify", Some(ADMIN)),
        (Method::POST, "/v1/webhooks/payments/{provider}", None),
        (Method::POST, "/v1/webhooks/partners/{partner_id}", None),
    ]
}

/// Routes for everybody, signed in or not.
fn open() -> Vec<(Method, &'static str)> {
    [
        "/v1/auth/register",
        "/v1/auth/login",
        "/v1/auth/refresh",
        "/v1/auth/logout",
        "/v1/auth/verify-email",
        "/v1/auth/verify-email/send",
        "/v1/auth/password/forgot",
        "/v1/auth/password/reset",
    ]
    .map(|path| (Method::POST, path))
    .to_vec()
}

#[tokio::test]
async fn the_access_table_is_the_published_one() {
    let shop = Shop::open().await;
    let mut ours: Vec<_> = shop
        .rules
        .iter()
        .map(|rule| (rule.method.to_string(), rule.path.clone()))
        .collect();
    let mut wanted: Vec<_> = expected()
        .iter()
        .map(|(method, path, _)| (method.to_string(), (*path).to_owned()))
        .chain(
            open()
                .into_iter()
                .map(|(method, path)| (method.to_string(), path.to_owned())),
        )
        .collect();
    ours.sort();
    wanted.sort();
    assert_eq!(ours, wanted);
    for (method, path, roles) in expected() {
        let rule = shop
            .rules
            .iter()
            .find(|rule| rule.method == method && rule.path == path)
            .unwrap();
        match (rule.access, roles) {
            (Access::Roles(ours), Some(wanted)) => {
                let (mut ours, mut wanted) = (ours.to_vec(), wanted.to_vec());
                ours.sort();
                wanted.sort();
                assert_eq!(ours, wanted, "{method} {path}");
            }
            (Access::Authenticated, Some(wanted)) => assert_eq!(wanted, Role::ALL),
            (Access::Signed, None) => {}
            (rule, _) => panic!("{method} {path} has the rule {rule:?}"),
        }
    }
}

#[tokio::test]
async fn open_routes_ask_for_no_token_and_are_described_with_their_problems() {
    let shop = Shop::open().await;
    let document = serde_json::to_value(command_api::openapi()).unwrap();
    for (method, path) in open() {
        let rule = shop
            .rules
            .iter()
            .find(|rule| rule.method == method && rule.path == path)
            .unwrap();
        assert_eq!(rule.access, Access::Public, "{path}");
        let empty = shop
            .nobody(method.clone(), path)
            .json(&json!({}))
            .send()
            .await;
        empty.is_problem(422, "invalid");
        let operation = &document["paths"][path]["post"];
        assert!(operation["operationId"].is_string() && !operation["security"].is_array());
        for status in ["400", "413", "415", "422", "429", "500", "503"] {
            let schema = &operation["responses"][status]["content"]["application/problem+json"]["schema"]
                ["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{path} {status}");
        }
    }
    assert_eq!(shop.log_end().await, 0);
}

#[tokio::test]
async fn every_route_lets_in_its_roles_and_nobody_else_and_the_refused_leave_nothing() {
    let shop = Shop::open().await;
    for (method, path, roles) in expected() {
        let Some(roles) = roles else { continue };
        let path = path
            .replace("{id}", &Uuid::now_v7().to_string())
            .replace("{resource_id}", &Uuid::now_v7().to_string())
            .replace("{product_id}", &Uuid::now_v7().to_string());
        let nobody = shop
            .nobody(method.clone(), &path)
            .json(&json!({}))
            .new_key()
            .send()
            .await;
        nobody.is_problem(401, "unauthenticated");
        assert!(nobody.header("www-authenticate").starts_with("Bearer"));
        let forged = shop
            .nobody(method.clone(), &path)
            .header("authorization", "Bearer e30.e30.x")
            .send()
            .await;
        assert_eq!(forged.status, 401, "{method} {path}");
        for role in Role::ALL {
            let reply = shop
                .by(role, Uuid::now_v7(), method.clone(), &path)
                .json(&json!({}))
                .new_key()
                .send()
                .await;
            if roles.contains(&role) {
                assert!(
                    ![401, 403].contains(&reply.status.as_u16()),
                    "{role} at {method} {path}: {reply:#?}"
                );
                // Neither projector nor orchestrator runs here, and what is theirs to do cannot be done.
                assert!(
                    !reply.status.is_server_error()
                        || ["projector_unavailable", "orchestrator_unavailable"]
                            .contains(&reply.code()),
                    "{role} at {method} {path}: {reply:#?}"
                );
            } else {
                reply.is_problem(403, "forbidden");
            }
        }
    }
    assert_eq!(shop.log_end().await, 0);
}

#[tokio::test]
async fn unknown_routes_and_methods_are_told_as_problems() {
    let shop = Shop::open().await;
    shop.admin(Method::POST, "/v1/nonsense")
        .send()
        .await
        .is_problem(404, "not_found");
    shop.nobody(Method::POST, "/v2/orders")
        .send()
        .await
        .is_problem(404, "not_found");
    shop.admin(Method::PUT, "/v1/orders")
        .send()
        .await
        .is_problem(405, "method_not_allowed");
    shop.admin(Method::DELETE, "/v1/orders/check")
        .send()
        .await
        .is_problem(405, "method_not_allowed");
}

#[tokio::test]
async fn commands_that_must_not_happen_twice_need_a_key() {
    let shop = Shop::open().await;
    let id = Uuid::now_v7();
    for (role, path) in [
        (Role::Admin, "/v1/customers".to_owned()),
        (Role::Admin, "/v1/resources".to_owned()),
        (Role::Admin, format!("/v1/customers/{id}/resources")),
        (Role::Admin, format!("/v1/partners/{id}/webhook-secret")),
        (Role::Admin, "/v1/partners".to_owned()),
        (Role::Admin, "/v1/products".to_owned()),
        (Role::Customer, "/v1/orders".to_owned()),
        (Role::Admin, format!("/v1/inventory/{id}/receive")),
        (Role::Admin, format!("/v1/inventory/{id}/adjust")),
        (Role::Admin, format!("/v1/sagas/{id}/retry")),
        (Role::Admin, format!("/v1/sagas/{id}/skip")),
        (Role::Admin, format!("/v1/sagas/{id}/resolve")),
        (Role::Admin, format!("/v1/sagas/{id}/abort")),
        (Role::Admin, format!("/v1/sagas/{id}/close")),
    ] {
        let without = shop
            .by(role, id, Method::POST, &path)
            .json(&json!({}))
            .send()
            .await;
        without.is_problem(400, "idempotency_key_missing");
        let malformed = shop
            .by(role, id, Method::POST, &path)
            .key("two words")
            .json(&json!({}))
            .send()
            .await;
        malformed.is_problem(400, "idempotency_key_invalid");
    }
}

#[test]
fn the_document_describes_every_route_its_header_and_its_problems() {
    let document = serde_json::to_value(command_api::openapi()).unwrap();
    for (method, path, roles) in expected() {
        let operation = &document["paths"][path][method.as_str().to_ascii_lowercase()];
        assert!(
            operation["operationId"].is_string(),
            "{method} {path} is not described"
        );
        assert_eq!(
            operation["security"].is_array(),
            roles.is_some(),
            "{method} {path}"
        );
        let responses = operation["responses"].as_object().unwrap();
        // A dry run is told apart by its status and has no position.
        let success = responses
            .iter()
            .rfind(|(status, _)| status.starts_with('2'))
            .unwrap()
            .1;
        if path != "/v1/orders/check"
            && !path.starts_with("/v1/auth/")
            // Secrets are not in the log.
            && path != "/v1/partners/{id}/webhook-secret"
            && !path.starts_with("/v1/projections/")
            // The notifier records it, message by message.
            && !path.ends_with("/replay")
        {
            assert!(
                success["headers"]["Waybill-Position"].is_object(),
                "{method} {path}"
            );
        }
        for (status, response) in responses {
            if status.starts_with('4') || status.starts_with('5') {
                let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(
                    schema, "#/components/schemas/Problem",
                    "{method} {path} {status}"
                );
            }
        }
        assert!(responses.contains_key("503"), "{method} {path}");
    }
    let text = document.to_string();
    for code in [
        "email_taken",
        "account_closed",
        "invalid_credentials",
        "invalid_refresh_token",
        "code_invalid",
        "wrong_password",
        "sku_taken",
        "account_closed",
        "provider_inactive",
        "secret_replaced",
        "insufficient_stock",
        "out_of_stock",
        "quote_used",
        "quote_expired",
        "too_late",
        "not_confirmed",
        "not_ready",
        "not_taken",
        "already_taken",
        "called_off",
        "stale_version",
        "unknown_product",
        "mixed_partners",
        "quantity_out_of_range",
        "currency_mismatch",
        "idempotency_key_reused",
        "idempotency_key_missing",
        "signature_invalid",
        "broker_unavailable",
        "database_unavailable",
        "newer_events",
        "orchestrator_unavailable",
        "timed_out",
        "not_waiting",
        "already_ended",
        "turns_back_already",
        "other_step",
        "nothing_to_retry",
        "refused_already",
        "known_inside",
        "cannot_skip",
        "payment_not_named",
    ] {
        assert!(text.contains(code), "{code} is not in the document");
    }
    assert!(document["components"]["schemas"]["Problem"].is_object());
}
