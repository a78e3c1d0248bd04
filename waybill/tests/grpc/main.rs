//! The shop over gRPC: the real program, real sockets, a client made of the protos and one that knows nothing but what
//! reflection tells.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod access;
mod notifications;
mod orders;
mod raw;
mod tools;

use std::time::Duration;

use grpc_door::v1;
use testkit::Shop;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

pub const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");

/// A connection to the address where everything is.
pub async fn channel(url: &str) -> Channel {
    Endpoint::from_shared(url.to_owned())
        .unwrap()
        .connect_timeout(Duration::from_secs(5))
        .connect()
        .await
        .unwrap()
}

/// A call in somebody's name.
pub fn by<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}

/// The same under an idempotency key.
pub fn keyed<T>(token: &str, key: &str, message: T) -> Request<T> {
    let mut request = by(token, message);
    request
        .metadata_mut()
        .insert("idempotency-key", key.parse().unwrap());
    request
}

/// Our stable code in a refusal.
pub fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_speaks_grpc_on_the_port_of_http() {
    let origin = "https://shop.example";
    let mut shop = Shop::start(WAYBILL, &[("WAYBILL_CORS_ORIGINS", origin)]).await;
    access::pages_of_other_origins_use_http_and_no_rpc(&shop, origin).await;
    tools::a_generic_client_finds_every_service_and_its_health(&shop).await;
    orders::an_order_is_placed_followed_and_confirmed(&mut shop).await;
    orders::refusals_have_their_code_and_their_details(&mut shop).await;
    orders::stocks_are_followed_as_they_change(&mut shop).await;
    notifications::an_inbox_is_read_and_cleared_and_followed_meanwhile(&mut shop).await;
    access::every_rpc_has_its_rule(&mut shop).await;
    let channel = channel(&shop.url()).await;
    let token = shop.exported("CUSTOMER");
    let mut orders = v1::order_service_client::OrderServiceClient::new(channel);
    let mut hasty = by(&token, v1::ListOrdersRequest::default());
    hasty.set_timeout(Duration::from_nanos(1));
    let status = orders.list_orders(hasty).await.unwrap_err();
    assert!(
        matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{status:?}"
    );
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_can_have_an_address_of_its_own_as_well() {
    let address = format!("127.0.0.1:{}", testkit::free_port());
    let mut shop = Shop::start(WAYBILL, &[("WAYBILL_GRPC_ADDR", &address)]).await;
    for url in [format!("http://{address}"), shop.url()] {
        let token = shop.exported("CUSTOMER");
        let mut orders = v1::order_service_client::OrderServiceClient::new(channel(&url).await);
        let listed = orders
            .list_orders(by(&token, v1::ListOrdersRequest::default()))
            .await
            .unwrap();
        assert!(!listed.into_inner().has_more, "{url}");
    }
    shop.stop().await;
}
