//! A query that names a position waits for it, and says honestly when it has not come.

use event_schema::Position;
use serde_json::json;
use service_kit::Role;
use uuid::Uuid;

use crate::status;
use crate::testing::stories::{AnOrder, product, received};
use crate::testing::{ADMIN, Got, Open, Shop};

async fn with(shop: &Open, path: &str, position: u64, wait_ms: u64) -> Got {
    let (position, wait) = (position.to_string(), wait_ms.to_string());
    let headers = [
        ("waybill-min-position", position.as_str()),
        ("waybill-wait-ms", wait.as_str()),
    ];
    shop.get_with(path, Some((Role::Admin, ADMIN)), &headers)
        .await
}

#[tokio::test]
async fn a_query_right_after_a_command_sees_what_the_command_did() {
    let shop = Shop::new().await.open().await;
    let mug = Uuid::now_v7();
    shop.shop.happens([product(mug, None, "mug")]).await;
    for round in 1..=20_u32 {
        let Position(position) = shop.shop.happens([received(mug, 1)]).await;
        let got = with(&shop, &format!("/v1/inventory/{mug}"), position, 10_000).await;
        assert_eq!(got.body["received"], json!(round));
        assert!(
            got.header("waybill-position")
                .unwrap()
                .parse::<u64>()
                .unwrap()
                >= position
        );
    }
}

#[tokio::test]
async fn a_query_waits_across_processes() {
    // The second replica serves queries and never writes: the first one holds the lease.
    let writer = Shop::new().await.open().await;
    let mug = Uuid::now_v7();
    writer.happens([product(mug, None, "mug")]).await;
    let reader = crate::Service::new(writer.shop.deps()).await.unwrap();
    let mut other = writer;
    other.router = other.shop.router_of(reader.api());
    for round in 1..=5_u32 {
        let Position(position) = other.shop.happens([received(mug, 1)]).await;
        let got = with(&other, &format!("/v1/inventory/{mug}"), position, 10_000).await;
        assert_eq!(got.body["received"], json!(round));
    }
}

#[tokio::test]
async fn a_position_that_does_not_come_in_time_is_said_with_position_and_lag() {
    let shop = Shop::new().await.open().await;
    let mug = Uuid::now_v7();
    let Position(reached) = shop.happens([product(mug, None, "mug")]).await;
    // Nobody may write inventory rows for now.
    assert!(status::pause(&shop.shop.pool, "inventory").await.unwrap());
    let Position(position) = shop.shop.happens([received(mug, 1)]).await;
    let path = format!("/v1/inventory/{mug}");
    let got = with(&shop, &path, position, 150).await;
    assert_eq!((got.status.as_u16(), got.code()), (503, "not_caught_up"));
    assert_eq!(
        (&got.body["position"], &got.body["lag"]),
        (&json!(reached), &json!(position - reached))
    );
    assert!(got.header("retry-after").is_some());
    assert_eq!(
        shop.ask(&path).await.status,
        200,
        "who asks for no position is answered from what there is"
    );
    assert_eq!(
        with(&shop, "/v1/partners", position, 5_000).await.status,
        200,
        "what does not read it need not wait"
    );

    assert!(status::resume(&shop.shop.pool, "inventory").await.unwrap());
    assert_eq!(
        with(&shop, &path, position, 10_000).await.body["received"],
        1
    );
}

#[tokio::test]
async fn a_position_beyond_the_logs_end_is_unknown_and_nobody_waits_for_it() {
    let shop = Shop::new().await.open().await;
    let Position(end) = shop.happens([product(Uuid::now_v7(), None, "mug")]).await;
    let began = tokio::time::Instant::now();
    let got = with(&shop, "/v1/products", end + 1, 10_000).await;
    assert_eq!((got.status.as_u16(), got.code()), (400, "position_unknown"));
    assert_eq!(got.body["position"], json!(end));
    assert!(began.elapsed() < std::time::Duration::from_secs(5));
    let wrong = shop
        .get_with(
            "/v1/products",
            Some((Role::Admin, ADMIN)),
            &[("waybill-min-position", "soon")],
        )
        .await;
    assert_eq!(
        (wrong.status.as_u16(), wrong.code()),
        (400, "invalid_header")
    );
}

#[tokio::test]
async fn a_checkpoint_passes_events_that_do_not_concern_it() {
    let shop = Shop::new().await.open().await;
    let order = AnOrder::new();
    shop.shop.happens(order.by_card(&shop.shop).await).await;
    let Position(position) = shop.shop.happens(order.declined()).await;
    let got = with(&shop, "/v1/partners", position, 10_000).await;
    assert_eq!(
        got.header("waybill-position"),
        Some(position.to_string().as_str())
    );
}

#[tokio::test]
async fn a_database_without_the_schema_is_said_to_be_unavailable_until_it_is_there_again() {
    let shop = Shop::new().await.open().await;
    let mug = Uuid::now_v7();
    shop.happens([product(mug, None, "mug"), received(mug, 3)])
        .await;
    let before = shop.shop.rows().await;
    sqlx::query("drop schema read cascade")
        .execute(&shop.shop.pool)
        .await
        .unwrap();
    let got = shop.ask("/v1/products").await;
    assert!(
        got.status == 200 || got.code() == "database_unavailable",
        "{got:?}"
    );
    // The worker finds it gone, makes it again and reads the log from the beginning.
    shop.catch_up().await;
    assert_eq!(shop.shop.rows().await, before);
}
