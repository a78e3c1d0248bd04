//! An order from its quote to its end, over gRPC alone.

use std::time::{Duration, Instant};

use grpc_door::v1;
use grpc_door::v1::catalog_service_client::CatalogServiceClient;
use grpc_door::v1::customer_service_client::CustomerServiceClient;
use grpc_door::v1::inventory_service_client::InventoryServiceClient;
use grpc_door::v1::order_service_client::OrderServiceClient;
use testkit::Shop;
use tonic::Code;
use tonic_types::StatusExt;

use crate::{by, channel, keyed, reason};

const PATIENCE: Duration = Duration::from_secs(30);

async fn something(shop: &mut Shop) -> v1::CatalogItem {
    let customer = shop.exported("CUSTOMER");
    let mut catalog = CatalogServiceClient::new(channel(&shop.url()).await);
    let ask = v1::ListCatalogRequest {
        in_stock: Some(true),
        ..Default::default()
    };
    // The catalogue follows the seed.
    let until = Instant::now() + PATIENCE;
    loop {
        let page = catalog.list_catalog(by(&customer, ask.clone())).await;
        if let Some(item) = page.unwrap().into_inner().data.into_iter().next() {
            return item;
        }
        assert!(Instant::now() < until, "nothing can be bought");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn check(item: &v1::CatalogItem, quantity: i64) -> v1::CheckOrderRequest {
    v1::CheckOrderRequest {
        partner_id: item.partner.as_ref().unwrap().id.clone(),
        lines: vec![v1::WantedLine {
            product_id: item.product_id.clone(),
            quantity,
        }],
        delivery_address: "Unter den Linden 1, Berlin".into(),
        phone: "+49 30 7654321".into(),
        currency: None,
    }
}

pub async fn an_order_is_placed_followed_and_confirmed(shop: &mut Shop) {
    let customer = shop.exported("CUSTOMER");
    let item = something(shop).await;
    let mut orders = OrderServiceClient::new(channel(&shop.url()).await);
    let quote = orders
        .check_order(by(&customer, check(&item, 1)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(quote.total, item.price);
    let place = v1::PlaceOrderRequest {
        quote_id: quote.quote_id,
        payment: Some(v1::PaymentWanted {
            method: "card".into(),
            token: Some("pm_card_visa".into()),
        }),
    };
    let placed = orders
        .place_order(keyed(&customer, "over-grpc-1", place.clone()))
        .await
        .unwrap();
    let position = placed.metadata().get("waybill-position").unwrap().clone();
    let order_id = placed.into_inner().order_id;
    // A repeat is the same order.
    let again = orders
        .place_order(keyed(&customer, "over-grpc-1", place))
        .await
        .unwrap();
    assert_eq!(again.into_inner().order_id, order_id);
    // Read your own write: the position is passed back.
    let mut ask = by(
        &customer,
        v1::GetOrderRequest {
            order_id: order_id.clone(),
        },
    );
    ask.metadata_mut().insert("waybill-min-position", position);
    let shown = orders.get_order(ask).await.unwrap().into_inner();
    assert_eq!(shown.order.unwrap().id, order_id);
    let watch = v1::WatchOrderRequest {
        order_id: order_id.clone(),
    };
    let mut followed = orders
        .watch_order(by(&customer, watch))
        .await
        .unwrap()
        .into_inner();
    let mut seen = Vec::new();
    while seen.last().map(String::as_str) != Some("confirmed") {
        let told = tokio::time::timeout(PATIENCE, followed.message()).await;
        let order = told.unwrap().unwrap().unwrap().order.unwrap();
        assert_ne!(seen.last(), Some(&order.status), "told twice");
        seen.push(order.status);
    }
    drop(followed);
    let history = orders
        .get_order_history(by(&customer, v1::GetOrderHistoryRequest { order_id }))
        .await
        .unwrap()
        .into_inner();
    assert!(
        history
            .data
            .iter()
            .any(|event| event.event_type.contains("placed") && event.data.is_some())
    );
}

pub async fn refusals_have_their_code_and_their_details(shop: &mut Shop) {
    let (customer, admin) = (shop.exported("CUSTOMER"), shop.exported("ADMIN"));
    let item = something(shop).await;
    let channel = channel(&shop.url()).await;
    let mut orders = OrderServiceClient::new(channel.clone());
    let mut customers = CustomerServiceClient::new(channel);

    let status = orders
        .check_order(by(&customer, check(&item, 0)))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    assert_eq!(
        details.bad_request().unwrap().field_violations[0].field,
        "lines.0.quantity"
    );
    assert!(details.request_info().is_some());

    let add = v1::AddCustomerRequest {
        name: "Grace Hopper".into(),
        email: "grace.hopper.over.grpc@example.com".into(),
        role: None,
    };
    let status = customers
        .add_customer(by(&admin, add.clone()))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "idempotency_key_missing")
    );
    let added = customers
        .add_customer(keyed(&admin, "grace-1", add.clone()))
        .await
        .unwrap()
        .into_inner()
        .customer
        .unwrap();
    let status = customers
        .add_customer(keyed(&admin, "grace-2", add))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::AlreadyExists, "email_taken")
    );
    let mut stale = by(
        &admin,
        v1::ChangeCustomerRequest {
            customer_id: added.id,
            name: Some("Grace M. Hopper".into()),
            ..Default::default()
        },
    );
    stale
        .metadata_mut()
        .insert("if-match", "\"99\"".parse().unwrap());
    let status = customers.change_customer(stale).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted, "{status:?}");

    let nobodys = v1::GetOrderRequest {
        order_id: "019a2b3c-0000-7000-8000-000000000001".into(),
    };
    let status = orders
        .get_order(by(&customer, nobodys.clone()))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::NotFound, "not_found")
    );
    let status = orders.get_order(nobodys).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

pub async fn stocks_are_followed_as_they_change(shop: &mut Shop) {
    let admin = shop.exported("ADMIN");
    let item = something(shop).await;
    let mut inventory = InventoryServiceClient::new(channel(&shop.url()).await);
    let mut followed = inventory
        .watch_inventory(by(&admin, v1::WatchInventoryRequest { after: None }))
        .await
        .unwrap()
        .into_inner();
    let receive = v1::ReceiveStockRequest {
        product_id: item.product_id.clone(),
        quantity: 7,
        reason: None,
    };
    let received = inventory
        .receive_stock(keyed(&admin, "seven-more", receive))
        .await
        .unwrap()
        .into_inner()
        .stock
        .unwrap();
    loop {
        let told = tokio::time::timeout(PATIENCE, followed.message()).await;
        let told = told.unwrap().unwrap().unwrap();
        let stock = told.stock.unwrap();
        if stock.product_id == item.product_id && stock.received == received.received {
            assert!(told.position > 0);
            break;
        }
    }
}
