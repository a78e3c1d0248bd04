//! Stocks as they change, over one long answer.

use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, StatusCode};
use axum::Router;
use axum::body::Body;
use event_store::InMemoryStore;
use serde_json::{Value, json};
use service_kit::Role;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::events_route::Limits;
use crate::http::ReadSide;
use crate::testing::live::Live;
use crate::testing::stories::{held, offer, product, received};
use crate::testing::{ADMIN, Shop};
use crate::{Moves, Personal};

const LIVE: &str = "/v1/inventory/live";

const ALL: (Role, Uuid) = (Role::Admin, ADMIN);

#[tokio::test]
async fn a_reader_sees_each_change_with_its_position_and_goes_on_after_the_last_one() {
    let shop = Shop::new().await.open().await;
    let (mug, pot) = (Uuid::now_v7(), Uuid::now_v7());
    shop.happens([
        product(mug, None, "mug"),
        product(pot, None, "pot"),
        received(pot, 9),
    ])
    .await;
    let mut live = Live::of(&shop, ALL, LIVE, None).await;
    let first = shop.happens([received(mug, 4)]).await;
    let seen = live.messages(1).await;
    assert_eq!(
        seen,
        [(
            first.0,
            json!({"product_id": mug, "sku": "MUG", "name": "mug", "received": 4, "available": 4, "held": 0,
                   "sold": 0, "low_stock_threshold": 0, "low": false})
        )]
    );
    let second = shop.happens([held(mug, Uuid::now_v7(), 4)]).await;
    let seen = live.messages(2).await;
    assert_eq!(
        (seen[1].0, &seen[1].1["available"], &seen[1].1["low"]),
        (second.0, &json!(0), &json!(true))
    );
    drop(live);

    // Whoever was away gets each changed stock once, as it is now.
    shop.happens([received(pot, 1)]).await;
    let third = shop.happens([received(pot, 1)]).await;
    let mut again = Live::of(&shop, ALL, LIVE, Some(second.0)).await;
    let seen = again.messages(1).await;
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].0, &seen[0].1["received"]), (third.0, &json!(11)));

    let mut all = Live::of(&shop, ALL, "/v1/inventory/live?after=0", None).await;
    let seen = all.messages(2).await;
    let products: Vec<&Value> = seen.iter().map(|(_, stock)| &stock["product_id"]).collect();
    assert_eq!(products, [&json!(mug), &json!(pot)]);
}

#[tokio::test]
async fn many_stocks_at_once_all_arrive_in_the_order_of_their_changes() {
    let shop = Shop::new().await.open().await;
    let products: Vec<Uuid> = (0..250).map(|_| Uuid::now_v7()).collect();
    for (number, id) in products.iter().enumerate() {
        let name = format!("product {number}");
        shop.shop
            .happens([product(*id, None, &name), received(*id, 1)])
            .await;
    }
    shop.catch_up().await;
    let mut live = Live::of(&shop, ALL, "/v1/inventory/live?after=0", None).await;
    let seen = live.messages(products.len()).await;
    let ids: Vec<u64> = seen.iter().map(|(id, _)| *id).collect();
    assert!(ids.is_sorted());
    let told: Vec<Value> = seen
        .iter()
        .map(|(_, stock)| stock["product_id"].clone())
        .collect();
    assert_eq!(json!(told), json!(products));
}

#[tokio::test]
async fn a_partner_follows_what_he_looks_after_and_nothing_else() {
    let shop = Shop::new().await.open().await;
    let (ours, theirs) = (Uuid::now_v7(), Uuid::now_v7());
    let (own, shops, foreign) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    shop.happens([
        product(own, Some(ours), "own"),
        product(shops, None, "shops"),
        product(foreign, Some(theirs), "foreign"),
        offer(ours, shops, 100, true),
        offer(ours, foreign, 100, true),
    ])
    .await;
    let mut live = Live::of(&shop, (Role::Partner, ours), LIVE, None).await;
    shop.happens([received(foreign, 1)]).await;
    shop.happens([received(own, 2)]).await;
    shop.happens([received(shops, 3)]).await;
    let seen = live.messages(2).await;
    let seen: Vec<_> = seen
        .iter()
        .map(|(_, stock)| (stock["name"].as_str().unwrap(), stock["received"].as_i64()))
        .collect();
    assert_eq!(seen, [("own", Some(2)), ("shops", Some(3))]);

    // The same stocks that he may ask for.
    let got = shop.get("/v1/inventory", Role::Partner, ours).await;
    let names: Vec<&str> = got.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["own", "shops"]);
    for (id, status) in [(own, 200), (shops, 200), (foreign, 404)] {
        let got = shop
            .get(&format!("/v1/inventory/{id}"), Role::Partner, ours)
            .await;
        assert_eq!(got.status.as_u16(), status);
    }
}

#[tokio::test]
async fn positions_that_the_log_never_gave_out_and_ids_that_are_none_are_refused() {
    let shop = Shop::new().await.open().await;
    for (id, status, code) in [
        ("7", 400, "position_unknown"),
        ("soon", 400, "invalid_header"),
    ] {
        let headers = [("last-event-id", id)];
        let got = shop.get_with(LIVE, Some(ALL), &headers).await;
        assert_eq!((got.status.as_u16(), got.code()), (status, code));
    }
    let got = shop.ask("/v1/inventory/live?after=9").await;
    assert_eq!((got.status.as_u16(), got.code()), (400, "position_unknown"));
}

#[tokio::test]
async fn readers_leave_when_the_server_stops() {
    let shop = Shop::new().await.open().await;
    let live = Live::of(&shop, ALL, LIVE, None).await;
    let closing = tokio::spawn(shop.close());
    let read = live.rest().await;
    assert!(read.contains("the server is being stopped"), "{read}");
    closing.await.unwrap();
}

/// The routes alone within other limits, over rows that a projector has made and that stay as they are.
async fn within(limits: Limits, stocks: usize) -> (Shop, Router) {
    let log = Arc::new(InMemoryStore::new());
    let shop = Shop::with_log(log.clone()).await.open().await;
    for number in 0..stocks {
        let id = Uuid::now_v7();
        let name = format!("product {number}");
        shop.shop
            .happens([product(id, None, &name), received(id, 1)])
            .await;
    }
    shop.catch_up().await;
    let shop = shop.close().await;
    let personal = Personal::new(shop.vault.clone());
    let read = ReadSide::new(
        shop.pool.clone(),
        log,
        personal,
        Moves::default(),
        "sandbox",
    )
    .with_live_limits(limits);
    let router = shop.router_of(crate::service::api().with_state(read));
    (shop, router)
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_dropped_and_told_so() {
    let limits = Limits {
        waiting_events_max: 2,
        slow_max: Duration::from_millis(50),
        ..Limits::default()
    };
    let (shop, router) = within(limits, 20).await;
    let slow = Live::open(&shop, &router, "/v1/inventory/live?after=0", ALL, None).await;
    // Until its time is over nobody reads; what has come by then is what may wait.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let read = slow.rest().await;
    assert!(read.contains("you read too slowly"), "{read}");
    assert!(read.matches("data: ").count() < 20, "{read}");
}

#[tokio::test]
async fn a_process_has_places_for_so_many_readers_gives_them_back_and_sends_them_away_in_time() {
    let limits = Limits {
        readers_max: 1,
        ..Limits::default()
    };
    let (shop, router) = within(limits, 0).await;
    let first = Live::open(&shop, &router, LIVE, ALL, None).await;
    let token = shop.token(Role::Admin, ADMIN);
    let ask = || {
        let request = Request::get(LIVE).header("authorization", format!("Bearer {token}"));
        router.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    let refused = ask().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    drop(first);
    assert_eq!(ask().await.unwrap().status(), StatusCode::OK);

    let limits = Limits {
        stay_max: Duration::from_millis(30),
        ..Limits::default()
    };
    let (shop, router) = within(limits, 0).await;
    let live = Live::open(&shop, &router, LIVE, ALL, None).await;
    let told = live.rest().await;
    assert!(
        told.contains("come back with the last id and a fresh token"),
        "{told}"
    );
}
