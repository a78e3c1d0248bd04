//! Stock as the log tells it, over HTTP.

use event_schema::ids::OrderId;
use event_schema::inventory::{Adjusted, Event, ReleaseCause, Released, ThresholdSet};
use serde_json::json;
use service_kit::Role;
use uuid::Uuid;

use crate::testing::stories::{committed, held, product, received};
use crate::testing::{ADMIN, Shop, to};

#[tokio::test]
async fn the_counts_follow_what_arrives_is_held_put_back_and_sold() {
    let shop = Shop::new().await.open().await;
    let (mug, partner) = (Uuid::now_v7(), Uuid::now_v7());
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    shop.happens([product(mug, Some(partner), "mug"), received(mug, 10)])
        .await;
    shop.happens([held(mug, one, 3)]).await;
    shop.happens([held(mug, two, 2)]).await;
    shop.happens([committed(mug, one, 3)]).await;
    let released = Released {
        order_id: OrderId(two),
        quantity: 2,
        cause: ReleaseCause::Compensated,
    };
    let adjusted = Adjusted {
        quantity: -1,
        reason: Some("broken".into()),
    };
    let position = shop
        .happens([to(
            mug,
            [
                released.into(),
                adjusted.into(),
                Event::from(ThresholdSet {
                    low_stock_threshold: 6,
                }),
            ],
        )])
        .await;

    let got = shop.ask(&format!("/v1/inventory/{mug}")).await;
    assert_eq!(
        got.body,
        json!({
            "product_id": mug, "sku": "MUG", "name": "mug",
            "received": 9, "available": 6, "held": 0, "sold": 3, "low_stock_threshold": 6, "low": true,
        })
    );
    assert_eq!(got.header("etag"), Some("\"7\""));
    assert_eq!(
        got.header("waybill-position"),
        Some(position.0.to_string().as_str())
    );
}

#[tokio::test]
async fn a_product_that_never_had_stock_is_shown_with_zeros_and_one_that_is_not_is_not_found() {
    let shop = Shop::new().await.open().await;
    let mug = Uuid::now_v7();
    shop.happens([product(mug, None, "mug")]).await;
    let got = shop.ask(&format!("/v1/inventory/{mug}")).await;
    assert_eq!(
        (
            &got.body["received"],
            &got.body["available"],
            &got.body["low"]
        ),
        (&json!(0), &json!(0), &json!(true))
    );
    let got = shop.ask(&format!("/v1/inventory/{}", Uuid::now_v7())).await;
    assert_eq!((got.status.as_u16(), got.code()), (404, "not_found"));
}

#[tokio::test]
async fn a_partner_sees_the_stock_of_his_own_products_only() {
    let shop = Shop::new().await.open().await;
    let (mine, theirs) = (Uuid::now_v7(), Uuid::now_v7());
    let (mug, pot) = (Uuid::now_v7(), Uuid::now_v7());
    shop.happens([
        product(mug, Some(mine), "mug"),
        product(pot, Some(theirs), "pot"),
        received(pot, 5),
    ])
    .await;
    let got = shop.get("/v1/inventory", Role::Partner, mine).await;
    assert_eq!(got.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(got.body["data"][0]["product_id"], json!(mug));
    let got = shop
        .get(&format!("/v1/inventory/{pot}"), Role::Partner, mine)
        .await;
    assert_eq!((got.status.as_u16(), got.code()), (404, "not_found"));
    let got = shop
        .get(&format!("/v1/inventory/{pot}"), Role::Partner, theirs)
        .await;
    assert_eq!(got.body["available"], 5);
}

#[tokio::test]
async fn a_list_is_read_page_by_page_and_by_who_runs_low() {
    let shop = Shop::new().await.open().await;
    let names = ["e", "a", "d", "b", "c"];
    let products: Vec<(Uuid, &str)> = names.iter().map(|name| (Uuid::now_v7(), *name)).collect();
    for (id, name) in &products {
        shop.shop.happens([product(*id, None, name)]).await;
    }
    shop.happens([received(products[0].0, 4)]).await;

    let mut seen = Vec::new();
    let mut path = "/v1/inventory?limit=2".to_owned();
    loop {
        let got = shop.get(&path, Role::Admin, ADMIN).await;
        let page = got.body["data"].as_array().unwrap().clone();
        seen.extend(
            page.iter()
                .map(|row| row["name"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = got.body["next_cursor"].as_str() else {
            assert_eq!(got.body["has_more"], json!(false));
            break;
        };
        assert_eq!((page.len(), &got.body["has_more"]), (2, &json!(true)));
        path = format!("/v1/inventory?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);

    let got = shop.ask("/v1/inventory?low=false").await;
    assert_eq!(got.body["data"][0]["name"], "e");
    assert_eq!(got.body["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn rows_of_a_build_that_did_not_know_positions_are_made_again_at_the_first_start() {
    let shop = Shop::new().await.open().await;
    let (mug, pot) = (Uuid::now_v7(), Uuid::now_v7());
    shop.happens([product(mug, None, "mug"), received(mug, 10)])
        .await;
    shop.happens([held(mug, Uuid::now_v7(), 3)]).await;
    shop.happens([product(pot, None, "pot"), received(pot, 2)])
        .await;
    let rows = shop.shop.rows().await;
    let shop = shop.close().await;
    for statement in [
        "alter table read.inventory drop column position",
        "delete from read._migrations where version = 11",
    ] {
        sqlx::query(statement).execute(&shop.pool).await.unwrap();
    }
    shop.lease_runs_out().await;
    let shop = shop.open().await;
    shop.catch_up().await;
    assert_eq!(shop.shop.rows().await, rows);
    let verified = shop.workshop.verify("inventory", |_| {}).await.unwrap();
    assert!(verified.is_same());
}
