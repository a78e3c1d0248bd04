//! The way of an order to its customer: as the order shows it, and as deliverers see it.

use serde_json::{Value, json};
use service_kit::Role;
use uuid::Uuid;

use crate::testing::stories::{AnOrder, partner, product, received};
use crate::testing::{ADMIN, Open, Shop};

const LIST: &str = "/v1/deliveries";

async fn a_shop_with(orders: &[AnOrder]) -> Open {
    let shop = Shop::new().await.open().await;
    for order in orders {
        shop.shop
            .happens([
                partner(order.partner, "Corner"),
                product(order.product, Some(order.partner), "mug"),
                received(order.product, 5),
            ])
            .await;
        let placed = order.by_card(&shop.shop).await;
        shop.shop.happens(placed).await;
        shop.shop.happens(order.held()).await;
        shop.shop.happens(order.confirmed()).await;
    }
    shop.catch_up().await;
    shop
}

/// Id and status of every order that this deliverer sees, over as many pages as it takes.
async fn seen_by(shop: &Open, role: Role, who: Uuid, query: &str) -> Vec<(Uuid, String)> {
    let mut seen = Vec::new();
    let mut path = format!("{LIST}?limit=2&{query}");
    loop {
        let got = shop.get(&path, role, who).await;
        assert_eq!(got.status, 200, "{got:#?}");
        for row in got.body["data"].as_array().unwrap() {
            assert_eq!(row["id"], row["order_id"]);
            let id = row["id"].as_str().unwrap().parse().unwrap();
            seen.push((id, row["status"].as_str().unwrap().to_owned()));
        }
        let Some(cursor) = got.body["next_cursor"].as_str() else {
            return seen;
        };
        path = format!("{LIST}?limit=2&cursor={cursor}&{query}");
    }
}

fn at(order: &AnOrder, status: &str) -> (Uuid, String) {
    (order.id, status.to_owned())
}

#[tokio::test]
async fn an_order_shows_its_way_and_its_history_tells_every_step() {
    let order = AnOrder::new();
    let shop = a_shop_with(&[order]).await;
    let ben = Uuid::now_v7();
    let path = format!("/v1/orders/{}", order.id);
    let stands = async || {
        let body = shop.get(&path, Role::Customer, order.customer).await.body;
        (body["status"].clone(), body["delivery"].clone())
    };
    let way = |pickup: Value, deliverer: Value| {
        json!({"pickup_address": pickup, "deliverer_id": deliverer, "delivery_address": "7 Lane",
               "phone": "+49 30 7"})
    };
    let door = json!("1 Road, back door");
    assert_eq!(
        stands().await,
        (json!("confirmed"), way(Value::Null, Value::Null))
    );
    shop.happens([order.ready()]).await;
    assert_eq!(
        stands().await,
        (json!("ready"), way(door.clone(), Value::Null))
    );
    shop.happens([order.assigned(ben)]).await;
    assert_eq!(
        stands().await,
        (json!("delivering"), way(door.clone(), json!(ben)))
    );
    shop.happens([order.delivered()]).await;
    assert_eq!(stands().await, (json!("delivered"), way(door, json!(ben))));

    let history = shop
        .get(&format!("{path}/history"), Role::Partner, order.partner)
        .await;
    let events = history.body["data"].as_array().unwrap();
    let last: Vec<_> = events[events.len() - 3..]
        .iter()
        .map(|event| (event["event_type"].as_str().unwrap(), &event["data"]))
        .collect();
    assert_eq!(
        last,
        [
            (
                "order.ready",
                &json!({"pickup_address": "1 Road, back door"})
            ),
            ("order.assigned", &json!({"deliverer_id": ben})),
            ("order.delivered", &json!({})),
        ]
    );
    let filtered = shop.ask("/v1/orders?status=delivered").await;
    assert_eq!(filtered.ids(), [order.id.to_string()]);
}

#[tokio::test]
async fn a_deliverer_sees_what_waits_and_what_is_his_and_no_more() {
    let orders: Vec<AnOrder> = (0..7).map(|_| AnOrder::new()).collect();
    let shop = a_shop_with(&orders).await;
    let (ben, eve) = (Uuid::now_v7(), Uuid::now_v7());
    // 0 is not prepared; 1, 2 and 3 wait; 4 and 5 are Ben's, 6 is Eve's.
    for order in &orders[1..] {
        shop.shop.happens([order.ready()]).await;
    }
    for order in &orders[4..6] {
        shop.shop.happens([order.assigned(ben)]).await;
    }
    shop.shop.happens([orders[6].assigned(eve)]).await;
    shop.happens([orders[5].delivered()]).await;

    let waiting: Vec<_> = orders[1..4]
        .iter()
        .map(|order| at(order, "ready"))
        .collect();
    let mut his = vec![at(&orders[4], "delivering")];
    his.extend(waiting.clone());
    his.push(at(&orders[5], "delivered"));
    assert_eq!(seen_by(&shop, Role::Deliverer, ben, "").await, his);
    let mut hers = vec![at(&orders[6], "delivering")];
    hers.extend(waiting.clone());
    assert_eq!(seen_by(&shop, Role::Deliverer, eve, "").await, hers);
    assert_eq!(
        seen_by(&shop, Role::Deliverer, Uuid::now_v7(), "").await,
        waiting
    );
    let mut all = vec![at(&orders[4], "delivering"), at(&orders[6], "delivering")];
    all.extend(waiting.clone());
    all.push(at(&orders[5], "delivered"));
    assert_eq!(seen_by(&shop, Role::Admin, ADMIN, "").await, all);

    for (status, expected) in [
        ("ready", &his[1..4]),
        ("delivering", &his[..1]),
        ("delivered", &his[4..]),
    ] {
        let query = format!("status={status}");
        let seen = seen_by(&shop, Role::Deliverer, ben, &query).await;
        assert_eq!(seen, expected, "{status}");
    }
    let got = shop
        .get("/v1/deliveries?status=lost", Role::Deliverer, ben)
        .await;
    assert_eq!((got.status.as_u16(), got.code()), (422, "invalid"));
}

#[tokio::test]
async fn where_the_customer_lives_is_told_to_who_goes_there_and_only_while_he_does() {
    let order = AnOrder::new();
    let shop = a_shop_with(&[order]).await;
    let (ben, eve) = (Uuid::now_v7(), Uuid::now_v7());
    let row = async |role: Role, who: Uuid| {
        let got = shop.get(LIST, role, who).await;
        got.body["data"].get(0).cloned()
    };
    let told = |row: &Value| (row["delivery_address"].clone(), row["phone"].clone());
    let all = (json!("7 Lane"), json!("+49 30 7"));
    let nothing = (Value::Null, Value::Null);

    shop.happens([order.ready()]).await;
    let waits = row(Role::Deliverer, ben).await.unwrap();
    assert_eq!(told(&waits), nothing);
    assert_eq!(waits["pickup_address"], "1 Road, back door");
    assert_eq!(
        waits["partner"],
        json!({"id": order.partner, "title": "Corner", "brand": "Corner brand"})
    );
    assert_eq!(
        waits["lines"],
        json!([{"product_id": order.product, "name": "mug", "quantity": 2}])
    );
    assert_eq!(
        (&waits["version"], &waits["deliverer_id"]),
        (&json!(3), &Value::Null)
    );
    assert_eq!(told(&row(Role::Admin, ADMIN).await.unwrap()), all);

    shop.happens([order.assigned(ben)]).await;
    assert_eq!(told(&row(Role::Deliverer, ben).await.unwrap()), all);
    assert_eq!(row(Role::Deliverer, eve).await, None);

    shop.happens([order.delivered()]).await;
    assert_eq!(told(&row(Role::Deliverer, ben).await.unwrap()), nothing);
    assert_eq!(told(&row(Role::Admin, ADMIN).await.unwrap()), all);
}

#[tokio::test]
async fn a_page_is_left_where_it_was_left_while_more_orders_come() {
    let orders: Vec<AnOrder> = (0..5).map(|_| AnOrder::new()).collect();
    let shop = a_shop_with(&orders).await;
    for order in &orders {
        shop.shop.happens([order.ready()]).await;
    }
    shop.catch_up().await;
    let ben = Uuid::now_v7();
    let first = shop
        .get("/v1/deliveries?limit=2", Role::Deliverer, ben)
        .await;
    let more = AnOrder {
        partner: orders[0].partner,
        product: orders[0].product,
        ..AnOrder::new()
    };
    let placed = more.by_card(&shop.shop).await;
    shop.shop.happens(placed).await;
    shop.shop.happens(more.held()).await;
    shop.shop.happens(more.confirmed()).await;
    shop.happens([more.ready()]).await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let rest = shop
        .get(
            &format!("/v1/deliveries?cursor={cursor}"),
            Role::Deliverer,
            ben,
        )
        .await;
    let mut seen: Vec<String> = first.ids().into_iter().map(str::to_owned).collect();
    seen.extend(rest.ids().into_iter().map(str::to_owned));
    let expected: Vec<String> = orders
        .iter()
        .chain([&more])
        .map(|order| order.id.to_string())
        .collect();
    assert_eq!(seen, expected);
}
