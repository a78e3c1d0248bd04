//! Who is told what.

use event_schema::fulfilment::{self, Cause, Step};
use event_schema::inventory::{self, RanLow};
use event_schema::payment;
use serde_json::json;
use service_kit::Role;
use uuid::Uuid;

use crate::testing::stories::{AnOrder, customer, eur, partner, product, received};
use crate::testing::{Got, Open, Shop, to};

fn kinds(got: &Got) -> Vec<&str> {
    got.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["kind"].as_str().unwrap())
        .collect()
}

async fn inbox(shop: &Open, role: Role, who: Uuid) -> Got {
    shop.get("/v1/notifications", role, who).await
}

#[tokio::test]
async fn a_customer_hears_of_his_account_and_of_his_order_from_beginning_to_end() {
    let shop = Shop::new().await.open().await;
    let order = AnOrder::new();
    shop.happens([customer(&shop.shop, order.customer, "ada").await])
        .await;
    shop.happens([
        product(order.product, None, "mug"),
        received(order.product, 5),
    ])
    .await;
    shop.happens(order.by_card(&shop.shop).await).await;
    shop.happens(order.held()).await;
    shop.happens(order.confirmed()).await;

    let got = inbox(&shop, Role::Customer, order.customer).await;
    assert_eq!(
        kinds(&got),
        ["order_confirmed", "order_placed", "customer_added"]
    );
    assert_eq!(
        (&got.body["unread"], &got.body["data"][0]["read"]),
        (&json!(3), &json!(false))
    );
    assert_eq!(got.body["data"][0]["order_id"], json!(order.id));
    let placed = got.body["data"][1]["body"].as_str().unwrap();
    assert!(
        placed.contains("17.00 EUR") && placed.contains(&order.id.to_string()),
        "{placed}"
    );
    assert!(got.body["data"][2].get("order_id").is_none());

    let other = inbox(&shop, Role::Customer, Uuid::now_v7()).await;
    assert_eq!(
        (&other.body["data"], &other.body["unread"]),
        (&json!([]), &json!(0))
    );

    let only = shop
        .get(
            "/v1/notifications?kind=order_placed&read=false",
            Role::Customer,
            order.customer,
        )
        .await;
    assert_eq!(kinds(&only), ["order_placed"]);
    let first = shop
        .get("/v1/notifications?limit=2", Role::Customer, order.customer)
        .await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let rest = shop
        .get(
            &format!("/v1/notifications?cursor={cursor}"),
            Role::Customer,
            order.customer,
        )
        .await;
    assert_eq!(kinds(&rest), ["customer_added"]);

    let told_so_far = got.body["data"].as_array().unwrap().len();
    shop.happens([order.ready()]).await;
    shop.happens([order.assigned(Uuid::now_v7())]).await;
    shop.happens([order.delivered()]).await;
    let got = inbox(&shop, Role::Customer, order.customer).await;
    assert_eq!(
        kinds(&got)[..3],
        ["order_delivered", "order_on_its_way", "order_ready"]
    );
    assert_eq!(
        got.body["data"].as_array().unwrap().len(),
        told_so_far + 3,
        "each is told once"
    );
    let first_three = got.body["data"].as_array().unwrap()[..3].to_vec();
    assert!(first_three.iter().all(|row| {
        row["order_id"] == json!(order.id)
            && row["body"]
                .as_str()
                .unwrap()
                .contains(&order.id.to_string())
    }));
}

#[tokio::test]
async fn a_customer_hears_why_his_order_was_cancelled_and_of_the_way_back_of_his_money() {
    let shop = Shop::new().await.open().await;
    let order = AnOrder::new();
    shop.happens(order.by_card(&shop.shop).await).await;
    shop.happens(order.out_of_stock()).await;
    let got = inbox(&shop, Role::Customer, order.customer).await;
    assert_eq!(
        kinds(&got),
        ["order_placed"],
        "what is still being put back is not told yet"
    );
    let refund = payment::RefundRequested {
        effect_id: order.effect("refund"),
        amount: eur(1700),
    };
    let back = payment::Refunded {
        refund_id: "re_1".into(),
        amount: eur(1700),
    };
    shop.happens([to(order.id, [refund.into(), payment::Event::from(back)])])
        .await;
    shop.happens(order.voided()).await;
    let got = inbox(&shop, Role::Customer, order.customer).await;
    assert_eq!(
        kinds(&got),
        [
            "order_cancelled",
            "refunded",
            "refund_pending",
            "order_placed"
        ]
    );
    let body = got.body["data"][0]["body"].as_str().unwrap();
    assert!(body.contains("sold out") && body.contains("mug"), "{body}");
}

#[tokio::test]
async fn low_stock_is_told_to_the_products_partner_and_of_the_shops_own_products_to_admins() {
    let shop = Shop::new().await.open().await;
    let (corner, mug, pot) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let low = || {
        inventory::Event::from(RanLow {
            available: 2,
            low_stock_threshold: 3,
        })
    };
    shop.happens([product(mug, Some(corner), "mug"), product(pot, None, "pot")])
        .await;
    shop.happens([to(mug, [low()]), to(pot, [low()])]).await;
    let told = inbox(&shop, Role::Partner, corner).await;
    assert_eq!(kinds(&told), ["low_stock"]);
    assert!(
        told.body["data"][0]["body"]
            .as_str()
            .unwrap()
            .contains("2 units of mug")
    );
    let admins = inbox(&shop, Role::Admin, Uuid::now_v7()).await;
    assert_eq!(kinds(&admins), ["low_stock"]);
    assert!(
        admins.body["data"][0]["body"]
            .as_str()
            .unwrap()
            .contains("pot")
    );
}

#[tokio::test]
async fn a_saga_that_needs_a_person_is_told_to_every_admin_and_to_nobody_else() {
    let shop = Shop::new().await.open().await;
    let order = AnOrder::new();
    shop.happens(order.by_card(&shop.shop).await).await;
    let needs = fulfilment::NeedsOperator {
        step: Step::Authorise,
        cause: Cause::PaymentUnknown,
        detail: "no answer".into(),
    };
    shop.happens([to(order.id, [fulfilment::Event::from(needs)])])
        .await;
    for admin in [Uuid::now_v7(), Uuid::now_v7()] {
        assert_eq!(
            kinds(&inbox(&shop, Role::Admin, admin).await),
            ["saga_needs_operator"]
        );
    }
    assert_eq!(
        kinds(&inbox(&shop, Role::Customer, order.customer).await),
        ["order_placed"]
    );
}

#[tokio::test]
async fn somebody_who_acts_for_a_partner_hears_and_sees_what_the_partner_does() {
    let shop = Shop::new().await.open().await;
    let (person, order) = (Uuid::now_v7(), AnOrder::new());
    shop.happens([
        partner(order.partner, "Corner"),
        product(order.product, Some(order.partner), "mug"),
        received(order.product, 2),
    ])
    .await;
    shop.happens(order.by_card(&shop.shop).await).await;
    shop.happens(order.held()).await;
    let low = RanLow {
        available: 0,
        low_stock_threshold: 0,
    };
    shop.happens([to(order.product, [inventory::Event::from(low)])])
        .await;
    shop.happens(order.confirmed()).await;
    let token = shop.shop.token_for_partner(person, order.partner);
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str())];
    let paths = [
        "/v1/notifications".to_owned(),
        "/v1/orders".to_owned(),
        "/v1/inventory".to_owned(),
        "/v1/products".to_owned(),
        "/v1/partners".to_owned(),
        "/v1/reports/sales?group_by=brand".to_owned(),
    ];
    for path in paths {
        let seen = shop.get_with(&path, None, &headers).await;
        assert_eq!(seen.status, 200, "{path}: {seen:#?}");
        let rows = seen.body["data"].as_array().unwrap().len();
        assert_eq!(rows, 1, "{path}: {}", seen.body);
        let partners = shop.get(&path, Role::Partner, order.partner).await;
        assert_eq!(partners.body, seen.body, "{path}");
    }
    for path in [
        format!("/v1/orders/{}", order.id),
        format!("/v1/inventory/{}", order.product),
        format!("/v1/products/{}", order.product),
        format!("/v1/partners/{}", order.partner),
    ] {
        let seen = shop.get_with(&path, None, &headers).await;
        assert_eq!(seen.status, 200, "{path}: {seen:#?}");
    }
}
