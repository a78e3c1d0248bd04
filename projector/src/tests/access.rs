//! The access table: every route has a rule, and the rule is enforced.

use http::Method;
use service_kit::{Access, Role};
use uuid::Uuid;

use crate::keys_route;
use crate::read_models::customers::avatar_route;
use crate::service::api;
use crate::testing::Shop;

/// Every GET of the read side and who may use it, as the contract says.
const TABLE: &[(&str, &[Role], bool)] = &[
    ("/.well-known/jwks.json", &[], true),
    ("/v1/catalog", &[], true),
    ("/v1/customers", &[Role::Admin], false),
    ("/v1/customers/{id}", &[Role::Admin], false),
    ("/v1/customers/{id}/resources", &Role::ALL, false),
    (
        "/v1/customers/{id}/resources/{resource_id}",
        &Role::ALL,
        false,
    ),
    ("/v1/deliveries", &[Role::Deliverer, Role::Admin], false),
    ("/v1/events", &[Role::Admin], false),
    ("/v1/events/live", &[Role::Admin], false),
    ("/v1/inventory", &[Role::Partner, Role::Admin], false),
    ("/v1/inventory/live", &[Role::Partner, Role::Admin], false),
    (
        "/v1/inventory/{product_id}",
        &[Role::Partner, Role::Admin],
        false,
    ),
    ("/v1/me", &Role::ALL, false),
    ("/v1/me/avatar", &Role::ALL, false),
    ("/v1/notification-agents", &[Role::Admin], false),
    ("/v1/notification-deliveries", &[Role::Admin], false),
    ("/v1/notification-deliveries/{id}", &[Role::Admin], false),
    ("/v1/notifications", &Role::ALL, false),
    ("/v1/notifications/live", &Role::ALL, false),
    ("/v1/notifications/unread", &Role::ALL, false),
    (
        "/v1/orders",
        &[Role::Customer, Role::Partner, Role::Admin],
        false,
    ),
    (
        "/v1/orders/{id}",
        &[Role::Customer, Role::Partner, Role::Admin],
        false,
    ),
    (
        "/v1/orders/{id}/history",
        &[Role::Customer, Role::Partner, Role::Admin],
        false,
    ),
    ("/v1/partners", &[Role::Partner, Role::Admin], false),
    ("/v1/partners/{id}", &[Role::Partner, Role::Admin], false),
    ("/v1/payment-providers", &[Role::Admin], false),
    (
        "/v1/payments/{order_id}",
        &[Role::Customer, Role::Admin],
        false,
    ),
    ("/v1/products", &[Role::Partner, Role::Admin], false),
    ("/v1/products/{id}", &[Role::Partner, Role::Admin], false),
    ("/v1/projections", &[Role::Admin], false),
    ("/v1/reports/sales", &[Role::Partner, Role::Admin], false),
    ("/v1/resources", &[], true),
    ("/v1/resources/{id}", &[], true),
    ("/v1/sagas", &[Role::Admin], false),
    ("/v1/sagas/{id}", &[Role::Admin], false),
];

#[test]
fn the_contracts_table_lists_every_route_there_is() {
    let (api, keys, avatars) = (api(), keys_route::routes(), avatar_route::routes());
    let table = || {
        let apart = keys.access_table().iter().chain(avatars.access_table());
        api.access_table().iter().chain(apart)
    };
    let mut routes: Vec<&str> = table().map(|rule| rule.path.as_str()).collect();
    routes.sort_unstable();
    let expected: Vec<&str> = TABLE.iter().map(|(path, ..)| *path).collect();
    assert_eq!(routes, expected);
    assert!(
        table().all(|rule| rule.method == Method::GET),
        "the read side answers GET alone"
    );
    assert!(table().all(|rule| rule.access != Access::Signed));
}

#[tokio::test]
async fn every_route_lets_in_whom_the_table_names_and_nobody_else() {
    let shop = Shop::new().await.open().await;
    shop.catch_up().await;
    for (path, roles, public) in TABLE {
        let path = ["{id}", "{resource_id}", "{product_id}", "{order_id}"]
            .iter()
            .fold((*path).to_owned(), |path, name| {
                path.replace(name, &Uuid::now_v7().to_string())
            });
        let anonymous = shop.get_with(&path, None, &[]).await.status.as_u16();
        let fits = if *public {
            matches!(anonymous, 200 | 404)
        } else {
            anonymous == 401
        };
        assert!(fits, "{path} without a token answers {anonymous}");
        let forged = shop
            .get_with(&path, None, &[("authorization", "Bearer nonsense")])
            .await;
        assert!(
            *public || forged.status == 401,
            "{path} with a forged token"
        );
        for role in Role::ALL {
            let status = shop.get(&path, role, Uuid::now_v7()).await.status.as_u16();
            if *public || roles.contains(&role) {
                assert!(
                    matches!(status, 200 | 404),
                    "{path} as {role} answers {status}"
                );
            } else {
                assert_eq!(status, 403, "{path} as {role}");
            }
        }
    }
}

#[test]
fn the_document_describes_every_route() {
    let document = crate::openapi();
    for (path, ..) in TABLE {
        let item = document.paths.paths.get(*path);
        assert!(
            item.is_some_and(|item| item.get.is_some()),
            "{path} is not described"
        );
    }
}
