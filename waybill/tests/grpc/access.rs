//! Who may use which rpc, as a table: an rpc without a line fails, and so does a line that is not true.

use std::collections::BTreeSet;

use bytes::Bytes;
use grpc_door::{Rpc, rpcs};
use prost::Message;
use prost_reflect::{DynamicMessage, Value};
use testkit::Shop;
use tonic::Code;
use tonic::client::Grpc;

use crate::{by, channel};

const ROLES: [&str; 4] = ["customer", "deliverer", "partner", "admin"];
const ALL: &[&str] = &ROLES;
const ADMIN: &[&str] = &["admin"];
const SELLERS: &[&str] = &["partner", "admin"];
/// Also whoever is not signed in.
const WORLD: &[&str] = &["customer", "deliverer", "partner", "admin", "nobody"];

const TABLE: [(&str, &[&str]); 42] = [
    ("CatalogService/AddProduct", SELLERS),
    ("CatalogService/ChangeProduct", SELLERS),
    ("CatalogService/GetProduct", SELLERS),
    ("CatalogService/ListCatalog", WORLD),
    ("CatalogService/ListProducts", SELLERS),
    ("CatalogService/RemoveOffer", SELLERS),
    ("CatalogService/RemoveProduct", SELLERS),
    ("CatalogService/SetOffer", SELLERS),
    ("CustomerService/AddCustomer", ADMIN),
    ("CustomerService/ChangeCustomer", ADMIN),
    ("CustomerService/GetCustomer", ADMIN),
    ("CustomerService/ListCustomers", ADMIN),
    ("CustomerService/RemoveCustomer", ADMIN),
    ("InventoryService/AdjustStock", SELLERS),
    ("InventoryService/GetStock", SELLERS),
    ("InventoryService/ListStocks", SELLERS),
    ("InventoryService/ReceiveStock", SELLERS),
    ("InventoryService/SetThreshold", SELLERS),
    ("InventoryService/WatchInventory", SELLERS),
    ("NotificationService/Clear", ALL),
    ("NotificationService/ClearAll", ALL),
    ("NotificationService/GetUnread", ALL),
    ("NotificationService/List", ALL),
    ("NotificationService/MarkRead", ALL),
    ("NotificationService/Watch", ALL),
    ("OrderService/AssignOrder", &["deliverer"]),
    ("OrderService/CancelOrder", &["customer", "admin"]),
    ("OrderService/CheckOrder", &["customer"]),
    ("OrderService/DeliverOrder", &["deliverer"]),
    ("OrderService/GetOrder", &["customer", "partner", "admin"]),
    (
        "OrderService/GetOrderHistory",
        &["customer", "partner", "admin"],
    ),
    ("OrderService/ListOrders", &["customer", "partner", "admin"]),
    ("OrderService/MakeOrderReady", SELLERS),
    ("OrderService/PlaceOrder", &["customer"]),
    ("OrderService/WatchOrder", &["customer", "partner", "admin"]),
    ("SagaService/AbortSaga", ADMIN),
    ("SagaService/CloseSaga", ADMIN),
    ("SagaService/GetSaga", ADMIN),
    ("SagaService/ListSagas", ADMIN),
    ("SagaService/ResolveSaga", ADMIN),
    ("SagaService/RetrySaga", ADMIN),
    ("SagaService/SkipSaga", ADMIN),
];

/// A message of nothing but made-up ids.
fn nonsense(rpc: &Rpc) -> Bytes {
    let mut message = DynamicMessage::new(rpc.input.clone());
    for field in rpc.input.fields() {
        if field.name().ends_with("_id") && !field.supports_presence() {
            let id = "019a2b3c-0000-7000-8000-00000000dead".to_owned();
            message.set_field(&field, Value::String(id));
        }
    }
    message.encode_to_vec().into()
}

pub async fn every_rpc_has_its_rule(shop: &mut Shop) {
    let rpcs = rpcs().unwrap();
    let served: BTreeSet<&str> = rpcs
        .iter()
        .map(|rpc| rpc.path.strip_prefix("/waybill.v1.").unwrap())
        .collect();
    let ruled: BTreeSet<&str> = TABLE.iter().map(|(rpc, _)| *rpc).collect();
    assert_eq!(served, ruled);
    let mut tokens = vec![("nobody", String::new())];
    for role in ROLES {
        let token = shop.operator(&["token", "--role", role]).await;
        tokens.push((role, token.trim().to_owned()));
    }
    let channel = channel(&shop.url()).await;
    let mut wrong = Vec::new();
    for rpc in &rpcs {
        let name = rpc.path.strip_prefix("/waybill.v1.").unwrap();
        let (_, may) = TABLE.iter().find(|(rpc, _)| *rpc == name).unwrap();
        for (who, token) in &tokens {
            let call = match token.as_str() {
                "" => tonic::Request::new(nonsense(rpc)),
                token => by(token, nonsense(rpc)),
            };
            let mut client = Grpc::new(channel.clone());
            client.ready().await.unwrap();
            let path = rpc.path.parse().unwrap();
            let code = match client.server_streaming(call, path, crate::raw::Raw).await {
                Err(status) => status.code(),
                Ok(stream) if rpc.streaming => {
                    drop(stream);
                    Code::Ok
                }
                Ok(stream) => match stream.into_inner().message().await {
                    Ok(_) => Code::Ok,
                    Err(status) => status.code(),
                },
            };
            let expected = match may.contains(who) {
                true => !matches!(
                    code,
                    Code::Unauthenticated
                        | Code::PermissionDenied
                        | Code::Unimplemented
                        | Code::Internal
                        | Code::Unknown
                ),
                false if *who == "nobody" => code == Code::Unauthenticated,
                false => code == Code::PermissionDenied,
            };
            if !expected {
                wrong.push(format!("{name} by {who}: {code:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What the shop's setting opens to a page is the API over HTTP, also for the routes that rpcs stand for.
pub async fn pages_of_other_origins_use_http_and_no_rpc(shop: &Shop, origin: &str) {
    let client = reqwest::Client::new();
    let asks_first = async |path: &str| {
        client
            .request(reqwest::Method::OPTIONS, format!("{}{path}", shop.url()))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .send()
            .await
            .unwrap()
    };
    let allowed = asks_first("/v1/orders").await;
    assert_eq!(allowed.status().as_u16(), 204);
    assert_eq!(allowed.headers()["access-control-allow-origin"], origin);
    let refused = asks_first("/waybill.v1.OrderService/ListOrders").await;
    assert_eq!(refused.status().as_u16(), 405);
    assert!(
        !refused
            .headers()
            .contains_key("access-control-allow-origin")
    );
}
