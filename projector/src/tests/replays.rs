//! Rows can always be made again, and are the same ones.

use event_schema::Position;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::fixtures::a_busy_day;
use crate::ReplayError;
use crate::read_models;
use crate::testing::stories::{AnOrder, received};
use crate::testing::{Open, Shop, from_the_future};

const ORDERS: usize = 24;

/// How the orders' projection is listed.
async fn of_orders(shop: &Open) -> Value {
    let listed = shop.ask("/v1/projections").await.body["data"].take();
    let all = listed.as_array().unwrap();
    all.iter()
        .find(|one| one["name"] == "orders")
        .unwrap()
        .clone()
}

async fn schemas(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "select nspname::text from pg_namespace where nspname like 'read%' order by 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn every_projection_run_twice_gives_the_same_rows_in_batches_or_one_by_one() {
    let shop = Shop::new().await.open().await;
    // While it runs: batches of one or a few.
    a_busy_day(&shop.shop, ORDERS).await;
    shop.catch_up().await;
    let one_by_one = shop.shop.rows().await;
    assert_eq!(one_by_one["orders"].len(), ORDERS);
    assert!(one_by_one["notifications"].len() > 2 * ORDERS);
    let shop = shop.close().await;
    sqlx::query("drop schema read cascade")
        .execute(&shop.pool)
        .await
        .unwrap();
    // And all at once.
    let shop = shop.open().await;
    shop.catch_up().await;
    assert_eq!(shop.shop.rows().await, one_by_one);
}

#[tokio::test]
async fn a_rebuild_gives_the_live_rows_again_and_leaves_nothing_behind() {
    let shop = Shop::new().await.open().await;
    a_busy_day(&shop.shop, ORDERS).await;
    let end = shop.catch_up().await;
    let before = shop.shop.rows().await;
    for projection in read_models::all() {
        let mut heard = Vec::new();
        let rebuilt = shop
            .workshop
            .rebuild(projection.name(), |progress| heard.push(progress))
            .await
            .unwrap();
        assert_eq!((rebuilt.position, rebuilt.parked), (end, 0));
        let last = heard.last().unwrap();
        assert_eq!((last.position, last.end), (end, end));
        assert!(last.rate > 0.0);
    }
    assert_eq!(shop.shop.rows().await, before);
    assert_eq!(schemas(&shop.shop.pool).await, ["read"]);

    // The live projection goes on from where the rebuild has put it.
    let order = AnOrder::new();
    shop.happens(order.by_card(&shop.shop).await).await;
    assert_eq!(
        shop.ask(&format!("/v1/orders/{}", order.id)).await.body["status"],
        "pending_payment"
    );
    for projection in read_models::all() {
        assert!(
            shop.workshop
                .verify(projection.name(), |_| {})
                .await
                .unwrap()
                .is_same()
        );
    }
}

#[tokio::test]
async fn a_rebuild_repairs_what_somebody_changed_by_hand_while_queries_go_on() {
    let shop = Shop::new().await.open().await;
    let orders = a_busy_day(&shop.shop, ORDERS).await;
    shop.catch_up().await;
    let before = shop.shop.rows().await;
    sqlx::query("update read.orders set status = 'delivered', total = total + 1 where id = $1")
        .bind(orders[0].id)
        .execute(&shop.shop.pool)
        .await
        .unwrap();
    sqlx::query("delete from read.orders where id = $1")
        .bind(orders[1].id)
        .execute(&shop.shop.pool)
        .await
        .unwrap();

    let rebuilding = shop.workshop.rebuild("orders", |_| {});
    let asking = async {
        for _ in 0..20 {
            assert_eq!(shop.ask("/v1/orders").await.status, 200);
        }
    };
    let (rebuilt, ()) = tokio::join!(rebuilding, asking);
    rebuilt.unwrap();
    assert_eq!(shop.shop.rows().await, before);
}

#[tokio::test]
async fn events_that_happen_during_a_rebuild_are_in_the_rebuilt_rows() {
    let shop = Shop::new().await.open().await;
    let orders = a_busy_day(&shop.shop, ORDERS).await;
    shop.catch_up().await;
    let rebuild = shop.workshop.begin_rebuild("inventory").await.unwrap();
    let happening = async {
        for _ in 0..30 {
            shop.shop.happens([received(orders[0].product, 1)]).await;
            tokio::task::yield_now().await;
        }
    };
    let (rebuilt, ()) = tokio::join!(rebuild.finish(|_| {}), happening);
    rebuilt.unwrap();
    shop.catch_up().await;
    let row = shop
        .ask(&format!("/v1/inventory/{}", orders[0].product))
        .await;
    assert_eq!(row.body["received"], 10_030);
    assert!(
        shop.workshop
            .verify("inventory", |_| {})
            .await
            .unwrap()
            .is_same()
    );
}

#[tokio::test]
async fn verify_names_the_first_row_and_column_that_differ_from_the_log() {
    let shop = Shop::new().await.open().await;
    let orders = a_busy_day(&shop.shop, 6).await;
    let Position(end) = shop.catch_up().await;
    let verified = shop.workshop.verify("orders", |_| {}).await.unwrap();
    assert_eq!(
        (verified.position, verified.rows, verified.difference),
        (Position(end), 6, None)
    );

    sqlx::query("update read.inventory set sold = sold + 1")
        .execute(&shop.shop.pool)
        .await
        .unwrap();
    let verified = shop.workshop.verify("inventory", |_| {}).await.unwrap();
    assert!(!verified.is_same());
    let difference = verified.difference.unwrap();
    assert_eq!(
        (
            difference.table.as_str(),
            difference.key,
            difference.column.as_deref()
        ),
        ("inventory", orders[0].product.to_string(), Some("sold"))
    );
    assert_eq!(
        (difference.live, difference.log),
        (Some(json!(5)), Some(json!(4)))
    );

    sqlx::query("delete from read.orders where id = $1")
        .bind(orders[2].id)
        .execute(&shop.shop.pool)
        .await
        .unwrap();
    let verified = shop.workshop.verify("orders", |_| {}).await.unwrap();
    let difference = verified.difference.unwrap();
    assert_eq!(
        (difference.key.clone(), difference.live.is_none()),
        (orders[2].id.to_string(), true)
    );
    assert!(
        difference.to_string().contains("there is no such row"),
        "{difference}"
    );
    assert_eq!(schemas(&shop.shop.pool).await, ["read"]);
}

#[tokio::test]
async fn a_rebuild_that_would_park_more_than_the_live_rows_is_not_swapped_in() {
    let shop = Shop::new().await.open().await;
    let order = AnOrder::new();
    shop.happens(order.by_card(&shop.shop).await).await;
    shop.happens([from_the_future("order", order.id, "order.gift_wrapped")])
        .await;
    let before = shop.shop.rows().await;
    // Parked on both sides: that is no reason to refuse.
    shop.workshop.rebuild("orders", |_| {}).await.unwrap();
    assert_eq!(of_orders(&shop).await["parked"][0]["key"], json!(order.id));
    // As if the live rows had been built by a build that knew the event.
    sqlx::query("delete from read.parked where projection = 'orders'")
        .execute(&shop.shop.pool)
        .await
        .unwrap();
    let error = shop.workshop.rebuild("orders", |_| {}).await.unwrap_err();
    assert!(
        matches!(
            error,
            ReplayError::ParksMore {
                rebuilt: 1,
                live: 0,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(shop.shop.rows().await, before);
    assert_eq!(schemas(&shop.shop.pool).await, ["read"]);
}

#[tokio::test]
async fn a_projection_is_rebuilt_once_at_a_time_and_only_if_there_is_one() {
    let shop = Shop::new().await.open().await;
    shop.catch_up().await;
    let rebuild = shop.workshop.begin_rebuild("orders").await.unwrap();
    let error = shop.workshop.begin_rebuild("orders").await.err().unwrap();
    assert!(matches!(error, ReplayError::UnderWay { .. }), "{error}");
    assert_eq!(of_orders(&shop).await["status"], "rebuilding");
    rebuild.finish(|_| {}).await.unwrap();
    assert_eq!(of_orders(&shop).await["status"], "live");
    let all = read_models::all();
    let names: Vec<&str> = all.iter().map(|projection| projection.name()).collect();
    let error = shop.workshop.rebuild("nonsense", |_| {}).await.unwrap_err();
    assert!(error.to_string().contains(&names.join(", ")), "{error}");
}
