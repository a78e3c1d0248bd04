//! Who is told what.

use event_schema::fulfilment::{self, Cause, Step};
use event_schema::inventory::{self, RanLow};
use event_schema::{Position, customer as customer_event, payment};
use serde_json::{Value, json};
use service_kit::Role;
use uuid::Uuid;

use crate::testing::stories::{
    AnOrder, all_cleared, cleared, customer, eur, partner, product, read, received,
};
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

/// The ids of an inbox with the positions of what they tell of, newest first.
async fn places(shop: &Open, role: Role, who: Uuid) -> Vec<(Uuid, Position)> {
    let got = inbox(shop, role, who).await;
    let mut places = Vec::new();
    for id in got.ids() {
        let id = Uuid::parse_str(id).unwrap();
        let reader = super::Reader {
            person: who,
            partner_id: (role == Role::Partner).then_some(who),
            admin: role == Role::Admin,
        };
        let place = super::place_of(&shop.shop.pool, &reader, id).await.unwrap();
        places.push((id, Position(u64::try_from(place.unwrap()).unwrap())));
    }
    places
}

/// An order that was placed, held and confirmed: its customer has been told three things.
async fn three_told(shop: &Open) -> AnOrder {
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
    order
}

#[tokio::test]
async fn what_was_read_is_shown_as_read_and_counted_and_what_was_cleared_is_gone() {
    let shop = Shop::new().await.open().await;
    let order = three_told(&shop).await;
    let who = order.customer;
    let [confirmed, placed, welcome] = places(&shop, Role::Customer, who).await[..] else {
        panic!("three are told");
    };
    let ask = async |path: &str| shop.get(path, Role::Customer, who).await;
    let count = async || ask("/v1/notifications/unread").await.body["unread"].clone();
    assert_eq!(count().await, 3);

    shop.happens([read(who, placed.0, placed.1)]).await;
    let got = ask("/v1/notifications").await;
    let flags: Vec<&Value> = got.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["read"])
        .collect();
    assert_eq!(flags, [&json!(false), &json!(true), &json!(false)]);
    assert_eq!((&got.body["unread"], count().await), (&json!(2), json!(2)));
    for path in [
        "/v1/notifications?unread=true",
        "/v1/notifications?read=false",
    ] {
        assert_eq!(
            kinds(&ask(path).await),
            ["order_confirmed", "customer_added"]
        );
    }
    for path in [
        "/v1/notifications?unread=false",
        "/v1/notifications?read=true",
    ] {
        assert_eq!(kinds(&ask(path).await), ["order_placed"]);
    }

    shop.happens([cleared(who, placed.0, placed.1)]).await;
    shop.happens([cleared(who, welcome.0, welcome.1)]).await;
    let got = ask("/v1/notifications").await;
    assert_eq!(kinds(&got), ["order_confirmed"]);
    assert_eq!(got.body["unread"], 1);

    // Up to what was seen; what happens later is there.
    shop.happens([all_cleared(who, confirmed.1)]).await;
    shop.happens([order.ready()]).await;
    assert_eq!(kinds(&ask("/v1/notifications").await), ["order_ready"]);
    assert_eq!(count().await, 1);
}

#[tokio::test]
async fn what_is_for_all_admins_or_all_of_a_partners_people_is_read_and_cleared_by_each_for_himself()
 {
    let shop = Shop::new().await.open().await;
    let (one, other, corner) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let (mug, pot) = (Uuid::now_v7(), Uuid::now_v7());
    let low = || {
        inventory::Event::from(RanLow {
            available: 2,
            low_stock_threshold: 3,
        })
    };
    shop.happens([product(mug, Some(corner), "mug"), product(pot, None, "pot")])
        .await;
    shop.happens([to(mug, [low()]), to(pot, [low()])]).await;

    let (notice, at) = places(&shop, Role::Admin, one).await[0];
    shop.happens([read(one, notice, at)]).await;
    assert_eq!(inbox(&shop, Role::Admin, one).await.body["unread"], 0);
    assert_eq!(inbox(&shop, Role::Admin, other).await.body["unread"], 1);
    shop.happens([cleared(one, notice, at)]).await;
    assert_eq!(inbox(&shop, Role::Admin, one).await.ids().len(), 0);
    assert_eq!(inbox(&shop, Role::Admin, other).await.ids().len(), 1);

    let (notice, at) = places(&shop, Role::Partner, corner).await[0];
    let person = Uuid::now_v7();
    let token = format!("Bearer {}", shop.shop.token_for_partner(person, corner));
    let headers = [("authorization", token.as_str())];
    shop.happens([all_cleared(person, at)]).await;
    let persons = shop.get_with("/v1/notifications", None, &headers).await;
    assert_eq!(persons.ids().len(), 0);
    let partners = inbox(&shop, Role::Partner, corner).await;
    assert_eq!(partners.ids(), [notice.to_string()]);
}

#[tokio::test]
async fn an_inbox_is_the_same_after_a_rebuild_and_nothing_is_left_of_an_erased_persons() {
    let shop = Shop::new().await.open().await;
    let (kept, gone) = (three_told(&shop).await, AnOrder::new());
    shop.happens([customer(&shop.shop, gone.customer, "eve").await])
        .await;
    shop.happens(gone.by_card(&shop.shop).await).await;
    for who in [kept.customer, gone.customer] {
        let told = places(&shop, Role::Customer, who).await;
        let ((newest, at), (oldest, before)) = (told[0], told[told.len() - 1]);
        shop.happens([all_cleared(who, before)]).await;
        shop.happens([read(who, newest, at)]).await;
        shop.happens([cleared(who, oldest, before)]).await;
    }
    let left = inbox(&shop, Role::Customer, kept.customer).await;
    let erased = customer_event::Erased {};
    shop.happens([to(gone.customer, [customer_event::Event::from(erased)])])
        .await;
    // What happens to his order later is told to nobody, and what he does with a token that is still good is not kept.
    shop.happens(gone.held()).await;
    let late = shop.happens(gone.confirmed()).await;
    shop.happens([all_cleared(gone.customer, late)]).await;

    let rows = shop.shop.rows().await;
    let of_gone = |table: &str, column: &str| {
        let own = |row: &&Value| row[column] == json!(gone.customer);
        rows[table].iter().filter(own).count()
    };
    assert_eq!(of_gone("notifications", "recipient"), 0);
    assert_eq!(of_gone("inbox_marks", "person"), 0);
    assert_eq!(of_gone("inbox_floors", "person"), 0);
    assert_eq!(of_gone("inbox_erased", "person"), 1);
    assert_eq!(
        inbox(&shop, Role::Customer, kept.customer).await.body,
        left.body
    );

    shop.workshop.rebuild("inbox", |_| {}).await.unwrap();
    assert_eq!(shop.shop.rows().await, rows);
    let verified = shop.workshop.verify("inbox", |_| {}).await.unwrap();
    assert!(verified.is_same());
}

#[tokio::test]
async fn a_notification_is_found_by_those_it_is_for_and_by_nobody_else() {
    let shop = Shop::new().await.open().await;
    let order = three_told(&shop).await;
    let pot = Uuid::now_v7();
    let low = RanLow {
        available: 0,
        low_stock_threshold: 3,
    };
    shop.happens([product(pot, None, "pot")]).await;
    shop.happens([to(pot, [inventory::Event::from(low)])]).await;
    let reader = |person, admin| super::Reader {
        person,
        partner_id: None,
        admin,
    };
    let (ada, admin) = (reader(order.customer, false), reader(Uuid::now_v7(), true));
    let pool = &shop.shop.pool;
    let (own, at) = places(&shop, Role::Customer, order.customer).await[0];
    let (for_all, _) = places(&shop, Role::Admin, admin.person).await[0];
    let found = async |who: &super::Reader, id| super::place_of(pool, who, id).await.unwrap();
    assert_eq!(found(&ada, own).await, Some(i64::try_from(at.0).unwrap()));
    for (who, id) in [(&admin, own), (&ada, for_all), (&ada, Uuid::now_v7())] {
        assert_eq!(found(who, id).await, None);
    }
    assert!(found(&admin, for_all).await.is_some());
    // What was cleared can be cleared again, and is not the newest any more.
    let newest = async || super::newest(pool, &ada).await.unwrap();
    assert_eq!(newest().await, found(&ada, own).await);
    shop.happens([all_cleared(order.customer, at)]).await;
    assert_eq!(newest().await, None);
    assert!(found(&ada, own).await.is_some());
}
