//! Products, partners, and what can be bought.

use event_schema::ids::{PartnerId, ProductId};
use event_schema::{offer, partner, product};
use serde_json::{Value, json};
use service_kit::Role;
use uuid::Uuid;

use crate::testing::stories::{
    details, eur, offer as offered, partner as selling, product as added, received,
};
use crate::testing::{Shop, to};

#[tokio::test]
async fn a_product_is_shown_as_it_was_last_described() {
    let shop = Shop::new().await.open().await;
    let (mug, corner) = (Uuid::now_v7(), Uuid::now_v7());
    shop.happens([added(mug, Some(corner), "mug")]).await;
    let changed = product::Details {
        name: "big mug".into(),
        unit_cost: eur(500),
        ..details("mug")
    };
    shop.happens([to(
        mug,
        [product::Event::from(product::Changed { details: changed })],
    )])
    .await;
    let got = shop.ask(&format!("/v1/products/{mug}")).await;
    assert_eq!(
        (
            &got.body["name"],
            &got.body["sku"],
            &got.body["unit_cost"],
            &got.body["color"]
        ),
        (
            &json!("big mug"),
            &json!("MUG"),
            &json!({"amount": 500, "currency": "EUR"}),
            &json!("blue")
        )
    );
    assert_eq!(got.header("etag"), Some("\"2\""));

    shop.happens([to(mug, [product::Event::from(product::Removed {})])])
        .await;
    assert_eq!(shop.ask(&format!("/v1/products/{mug}")).await.status, 404);
    assert!(shop.ask("/v1/products").await.ids().is_empty());
}

#[tokio::test]
async fn products_are_found_by_brand_category_and_text_and_partners_find_their_own() {
    let shop = Shop::new().await.open().await;
    let (mine, theirs) = (Uuid::now_v7(), Uuid::now_v7());
    let (mug, pot, lamp) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let in_the_hall = product::Details {
        brand: "Bright".into(),
        category: "hall".into(),
        ..details("100% lamp")
    };
    shop.happens([
        added(mug, Some(mine), "mug"),
        added(pot, Some(theirs), "pot"),
        added(lamp, Some(mine), "lamp"),
    ])
    .await;
    shop.happens([to(
        lamp,
        [product::Event::from(product::Changed {
            details: in_the_hall,
        })],
    )])
    .await;

    let found = async |query: &str| -> Vec<String> {
        let got = shop.ask(&format!("/v1/products{query}")).await;
        got.body["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(found("").await, ["100% lamp", "mug", "pot"]);
    assert_eq!(found("?brand=Corner").await, ["mug", "pot"]);
    assert_eq!(found("?category=hall").await, ["100% lamp"]);
    assert_eq!(found("?q=MU").await, ["mug"]);
    assert_eq!(found("?q=0%25").await, ["100% lamp"]);
    assert_eq!(found("?q=%25t").await, Vec::<String>::new());

    let own = shop.get("/v1/products", Role::Partner, theirs).await;
    assert_eq!(own.ids(), [pot.to_string()]);
    let got = shop
        .get(&format!("/v1/products/{mug}"), Role::Partner, theirs)
        .await;
    assert_eq!((got.status.as_u16(), got.code()), (404, "not_found"));
}

#[tokio::test]
async fn a_partner_sees_himself_and_an_admin_everybody() {
    let shop = Shop::new().await.open().await;
    let (corner, north) = (Uuid::now_v7(), Uuid::now_v7());
    shop.happens([selling(north, "North"), selling(corner, "Corner")])
        .await;
    shop.happens([to(north, [partner::Event::from(partner::Disabled {})])])
        .await;
    assert_eq!(
        shop.ask("/v1/partners").await.ids(),
        [corner.to_string(), north.to_string()]
    );
    let got = shop.get("/v1/partners", Role::Partner, north).await;
    assert_eq!(got.ids(), [north.to_string()]);
    assert_eq!(
        (
            &got.body["data"][0]["verified"],
            &got.body["data"][0]["enabled"]
        ),
        (&json!(true), &json!(false))
    );
    let got = shop
        .get(&format!("/v1/partners/{corner}"), Role::Partner, north)
        .await;
    assert_eq!(got.status, 404);
    for (query, found) in [
        ("enabled=true", vec![corner]),
        ("verified=true&enabled=false", vec![north]),
        ("q=NORTH", vec![north]),
        ("q=%25", vec![]),
    ] {
        let got = shop.ask(&format!("/v1/partners?{query}")).await;
        let found: Vec<String> = found.iter().map(Uuid::to_string).collect();
        assert_eq!(got.ids(), found, "{query}");
    }
    assert_eq!(
        shop.ask(&format!("/v1/partners/{north}"))
            .await
            .header("etag"),
        Some("\"4\"")
    );
}

#[tokio::test]
async fn the_catalogue_holds_only_what_can_be_bought_with_its_availability() {
    let shop = Shop::new().await.open().await;
    let (corner, north) = (Uuid::now_v7(), Uuid::now_v7());
    let (mug, pot, lamp) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    shop.happens([
        selling(corner, "Corner"),
        selling(north, "North"),
        added(mug, Some(corner), "mug"),
        added(pot, Some(corner), "pot"),
        added(lamp, Some(corner), "lamp"),
        offered(corner, mug, 850, true),
        offered(corner, pot, 900, false),
        offered(corner, lamp, 950, true),
        offered(north, mug, 800, true),
        received(mug, 12),
    ])
    .await;
    shop.happens([to(north, [partner::Event::from(partner::Disabled {})])])
        .await;
    shop.happens([to(lamp, [product::Event::from(product::Removed {})])])
        .await;

    // Nobody has to be signed in to look.
    let got = shop.get_with("/v1/catalog", None, &[]).await;
    let items = got.body["data"].as_array().unwrap();
    assert_eq!(
        items.len(),
        1,
        "an inactive offer, a disabled partner and a removed product are not shown: {items:?}"
    );
    assert_eq!(
        (
            &items[0]["product_id"],
            &items[0]["price"],
            &items[0]["available"],
            &items[0]["partner"]["title"]
        ),
        (
            &json!(mug),
            &json!({"amount": 850, "currency": "EUR"}),
            &json!(12),
            &json!("Corner")
        )
    );
    assert!(
        items[0].get("unit_cost").is_none(),
        "what a unit costs the seller is his own business"
    );

    let count = async |query: &str| {
        let path = format!("/v1/catalog{query}");
        shop.get_with(&path, None, &[]).await.body["data"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(
        (
            count("?in_stock=true").await,
            count("?in_stock=false").await,
            count("?brand=Corner&category=kitchen&q=MU").await,
            count("?category=hall").await,
        ),
        (1, 0, 1, 0)
    );

    let removed = offer::Removed {
        partner_id: PartnerId(corner),
        product_id: ProductId(mug),
    };
    let id = offer::id(PartnerId(corner), ProductId(mug));
    shop.happens([to(id, [offer::Event::from(removed)])]).await;
    assert_eq!(
        shop.get_with("/v1/catalog", None, &[]).await.body["data"],
        json!([])
    );
}

#[tokio::test]
async fn a_partner_whose_system_is_gone_is_shown_as_such_until_it_is_tried_again() {
    let shop = Shop::new().await.open().await;
    let corner = Uuid::now_v7();
    let disabled = || {
        let gone = partner::WebhookDisabled {
            cause: "gone".into(),
        };
        to(corner, [partner::Event::from(gone)])
    };
    let shown = async || {
        let got = shop.ask(&format!("/v1/partners/{corner}")).await;
        got.body["webhook_disabled"].clone()
    };
    shop.happens([selling(corner, "Corner")]).await;
    assert_eq!(shown().await, Value::Null);
    shop.happens([disabled()]).await;
    assert_eq!(shown().await, "gone");
    let enabled = partner::Enabled {};
    shop.happens([to(corner, [partner::Event::from(enabled)])])
        .await;
    assert_eq!(shown().await, Value::Null);
    shop.happens([disabled()]).await;
    let moved = partner::Changed {
        title: "Corner".into(),
        brand: "Corner".into(),
        phone: "+49 30 1".into(),
        email: "shop@example.org".into(),
        address: "1 Road".into(),
        webhook_url: Some("https://corner.example/hook".into()),
    };
    shop.happens([to(corner, [partner::Event::from(moved)])])
        .await;
    assert_eq!(shown().await, Value::Null);
}
