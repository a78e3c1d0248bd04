//! Stock: additive commands happen once, counts stay within what there is.

use futures::future::join_all;
use http::Method;
use serde_json::json;
use uuid::Uuid;

use crate::shop::{Shop, product};

#[tokio::test]
async fn units_arrive_once_however_often_the_command_is_repeated() {
    let shop = Shop::open().await;
    let product = shop.product().await;
    let path = format!("/v1/inventory/{product}/receive");
    let body = json!({"quantity": 10, "reason": "first delivery"});
    let send = || {
        shop.admin(Method::POST, &path)
            .key("r-1")
            .json(&body)
            .send()
    };
    let first = send().await;
    assert_eq!(first.status, 200, "{first:#?}");
    assert_eq!(
        first.body,
        json!({"product_id": product, "received": 10, "available": 10, "held": 0, "sold": 0,
               "low_stock_threshold": 0, "low": false})
    );
    assert_eq!(first.header("etag"), "\"1\"");
    let replies = join_all((0..16).map(|_| send())).await;
    for again in replies {
        assert_eq!(
            (again.status.as_u16(), &again.body, again.position()),
            (200, &first.body, first.position())
        );
    }
    assert_eq!(shop.log_end().await, first.position());
    let tail: Vec<_> = shop.types().await.split_off(2);
    assert_eq!(tail, ["done.recorded", "inventory.received"]);
}

#[tokio::test]
async fn many_deliveries_at_once_all_count() {
    let shop = Shop::open().await;
    let product = shop.product().await;
    let path = format!("/v1/inventory/{product}/receive");
    let asks = (0..32).map(|n| {
        shop.admin(Method::POST, &path)
            .key(&format!("r-{n}"))
            .json(&json!({"quantity": 2}))
            .send()
    });
    let replies = join_all(asks).await;
    assert!(
        replies.iter().all(|reply| reply.status == 200),
        "{replies:#?}"
    );
    let most = replies
        .iter()
        .map(|reply| reply.body["received"].as_u64().unwrap())
        .max();
    assert_eq!(most, Some(64));
}

#[tokio::test]
async fn a_count_is_corrected_both_ways_and_never_below_zero() {
    let shop = Shop::open().await;
    let product = shop.product().await;
    shop.receive(product, 10).await;
    let path = format!("/v1/inventory/{product}/adjust");
    let adjust = |quantity: i64| {
        shop.admin(Method::POST, &path)
            .new_key()
            .json(&json!({"quantity": quantity}))
            .send()
    };
    let fewer = adjust(-4).await;
    assert_eq!(
        (&fewer.body["received"], &fewer.body["available"]),
        (&json!(6), &json!(6)),
        "{fewer:#?}"
    );
    assert_eq!(adjust(1).await.body["available"], 7);
    let end = shop.log_end().await;
    let too_many = adjust(-8).await;
    too_many.is_problem(409, "insufficient_stock");
    assert_eq!(too_many.body["available"], 7);
    adjust(0).await.is_problem(422, "quantity_out_of_range");
    adjust(2_000_000_000)
        .await
        .is_problem(422, "quantity_out_of_range");
    assert_eq!(shop.log_end().await, end);
}

#[tokio::test]
async fn a_refused_correction_may_be_tried_again_under_its_key_and_another_body_is_refused_once_it_happened()
 {
    let shop = Shop::open().await;
    let product = shop.product().await;
    let path = format!("/v1/inventory/{product}/adjust");
    let adjust = |quantity: i64| {
        shop.admin(Method::POST, &path)
            .key("a-1")
            .json(&json!({"quantity": quantity}))
            .send()
    };
    adjust(-1).await.is_problem(409, "insufficient_stock");
    shop.receive(product, 1).await;
    assert_eq!(adjust(-1).await.status, 200);
    adjust(-2).await.is_problem(422, "idempotency_key_reused");
    assert_eq!(adjust(-1).await.body["available"], 0);
}

#[tokio::test]
async fn a_key_is_one_commands_also_across_products() {
    let shop = Shop::open().await;
    let (one, two) = (shop.product().await, shop.product().await);
    let receive = |product: Uuid| {
        let path = format!("/v1/inventory/{product}/receive");
        shop.admin(Method::POST, &path)
            .key("r-1")
            .json(&json!({"quantity": 1}))
            .send()
    };
    assert_eq!(receive(one).await.status, 200);
    receive(two).await.is_problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn what_counts_as_low_is_set_and_told_once() {
    let shop = Shop::open().await;
    let product = shop.product().await;
    shop.receive(product, 5).await;
    let path = format!("/v1/inventory/{product}/threshold");
    let set = |threshold: i64| {
        shop.admin(Method::PUT, &path)
            .json(&json!({"low_stock_threshold": threshold}))
            .send()
    };
    let low = set(5).await;
    assert_eq!(
        (low.status.as_u16(), &low.body["low"]),
        (200, &json!(true)),
        "{low:#?}"
    );
    let again = set(5).await;
    assert_eq!(
        (again.status.as_u16(), again.position()),
        (200, low.position())
    );
    assert_eq!(set(4).await.body["low"], false);
    set(-1).await.is_problem(422, "quantity_out_of_range");
    let ran_low = shop
        .types()
        .await
        .iter()
        .filter(|kind| *kind == "inventory.ran_low")
        .count();
    assert_eq!(ran_low, 1);
}

#[tokio::test]
async fn quantities_beyond_the_limits_are_out_of_range() {
    let shop = Shop::open().await;
    let product = shop.product().await;
    let end = shop.log_end().await;
    let path = format!("/v1/inventory/{product}/receive");
    for quantity in ["0", "-1", "1000000001", "123456789012345678901234567890"] {
        let body = format!("{{\"quantity\": {quantity}}}");
        let ask = shop
            .admin(Method::POST, &path)
            .new_key()
            .header("content-type", "application/json")
            .raw(body);
        let reply = ask.send().await;
        reply.is_problem(422, "quantity_out_of_range");
        reply.names("/quantity", "quantity_out_of_range");
    }
    for quantity in [json!("5"), json!(1.5), json!(null)] {
        let reply = shop
            .admin(Method::POST, &path)
            .new_key()
            .json(&json!({"quantity": quantity}))
            .send()
            .await;
        reply.is_problem(422, "invalid");
    }
    assert_eq!(shop.log_end().await, end);
}

#[tokio::test]
async fn a_partner_looks_after_his_own_stock_and_that_of_the_shops_products_he_offers() {
    let shop = Shop::open().await;
    let (ours, theirs) = (shop.selling_partner().await, shop.selling_partner().await);
    let own = shop
        .partner(ours, Method::POST, "/v1/products")
        .new_key()
        .json(&product("MUG-1"))
        .send()
        .await
        .id();
    let offered = shop.offered_product(ours, 100, 0).await;
    let receive = |partner: Uuid, product: Uuid| {
        let path = format!("/v1/inventory/{product}/receive");
        shop.partner(partner, Method::POST, &path)
            .new_key()
            .json(&json!({"quantity": 1}))
            .send()
    };
    assert_eq!(receive(ours, own).await.status, 200);
    assert_eq!(receive(ours, offered).await.status, 200);
    receive(theirs, own).await.is_problem(404, "not_found");
    receive(theirs, offered).await.is_problem(404, "not_found");
    let path = format!("/v1/inventory/{own}/threshold");
    let body = json!({"low_stock_threshold": 3});
    assert_eq!(
        shop.partner(ours, Method::PUT, &path)
            .json(&body)
            .send()
            .await
            .status,
        200
    );
    shop.partner(theirs, Method::PUT, &path)
        .json(&body)
        .send()
        .await
        .is_problem(404, "not_found");
}

#[tokio::test]
async fn there_is_no_stock_of_what_is_no_product() {
    let shop = Shop::open().await;
    let end = shop.log_end().await;
    let nothing = Uuid::now_v7();
    for (verb, body) in [
        ("receive", json!({"quantity": 1})),
        ("adjust", json!({"quantity": 1})),
    ] {
        let path = format!("/v1/inventory/{nothing}/{verb}");
        shop.admin(Method::POST, &path)
            .new_key()
            .json(&body)
            .send()
            .await
            .is_problem(404, "not_found");
    }
    let path = format!("/v1/inventory/{nothing}/threshold");
    let body = json!({"low_stock_threshold": 1});
    shop.admin(Method::PUT, &path)
        .json(&body)
        .send()
        .await
        .is_problem(404, "not_found");
    assert_eq!(shop.log_end().await, end);
}
