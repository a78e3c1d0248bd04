//! Products and offers: who may, what is unique, what is kept.

use futures::future::join_all;
use http::Method;
use serde_json::json;
use uuid::Uuid;

use crate::saga;
use crate::shop::{Shop, by_card, partner, product};

const PATH: &str = "/v1/products";

#[tokio::test]
async fn a_product_is_added_and_a_repeat_is_answered_alike() {
    let shop = Shop::open().await;
    let added = shop
        .admin(Method::POST, PATH)
        .key("x-1")
        .json(&product("MUG-1"))
        .send()
        .await;
    assert_eq!(added.status, 201, "{added:#?}");
    for (field, value) in product("MUG-1").as_object().unwrap() {
        assert_eq!(&added.body[field], value, "{field}");
    }
    assert_eq!(added.header("location"), format!("{PATH}/{}", added.id()));
    assert_eq!(shop.types().await, ["uniq.claimed", "product.added"]);
    let again = shop
        .admin(Method::POST, PATH)
        .key("x-1")
        .json(&product("MUG-1"))
        .send()
        .await;
    assert_eq!(
        (again.status, &again.body, again.position()),
        (added.status, &added.body, added.position())
    );
    let other = shop
        .admin(Method::POST, PATH)
        .key("x-1")
        .json(&product("MUG-2"))
        .send()
        .await;
    other.is_problem(422, "idempotency_key_reused");
    assert_eq!(shop.log_end().await, added.position());
}

#[tokio::test]
async fn of_50_who_race_for_one_sku_one_gets_it() {
    let shop = Shop::open().await;
    let asks = (0..50).map(|n| {
        let sku = if n % 2 == 0 { "mug-1" } else { "MUG-1" };
        shop.admin(Method::POST, PATH)
            .key(&format!("race-{n}"))
            .json(&product(sku))
            .send()
    });
    let replies = join_all(asks).await;
    let added = replies.iter().filter(|reply| reply.status == 201).count();
    let taken = replies
        .iter()
        .filter(|reply| reply.status == 409 && reply.code() == "sku_taken")
        .count();
    assert_eq!((added, taken), (1, 49));
    assert_eq!(shop.types().await, ["uniq.claimed", "product.added"]);
}

#[tokio::test]
async fn a_removed_products_sku_is_free_again_and_removing_again_is_already_true() {
    let shop = Shop::open().await;
    let id = shop
        .admin(Method::POST, PATH)
        .key("x-1")
        .json(&product("MUG-1"))
        .send()
        .await
        .id();
    let path = format!("{PATH}/{id}");
    let removed = shop.admin(Method::DELETE, &path).send().await;
    assert_eq!(
        (removed.status.as_u16(), &removed.body),
        (204, &json!(null))
    );
    let again = shop.admin(Method::DELETE, &path).send().await;
    assert_eq!(
        (again.status.as_u16(), again.position()),
        (204, removed.position())
    );
    let next = shop
        .admin(Method::POST, PATH)
        .key("x-2")
        .json(&product("mug-1"))
        .send()
        .await;
    assert_eq!(next.status, 201, "{next:#?}");
    assert_ne!(next.id(), id);
    shop.admin(Method::PATCH, &path)
        .json(&json!({"name": "X"}))
        .send()
        .await
        .is_problem(404, "not_found");
}

#[tokio::test]
async fn a_change_keeps_what_it_does_not_name_and_checks_the_version() {
    let shop = Shop::open().await;
    let id = shop
        .admin(Method::POST, PATH)
        .key("x-1")
        .json(&product("MUG-1"))
        .send()
        .await
        .id();
    let path = format!("{PATH}/{id}");
    let body =
        json!({"name": "Red mug", "color": null, "unit_cost": {"amount": 500, "currency": "EUR"}});
    let changed = shop
        .admin(Method::PATCH, &path)
        .header("if-match", "\"1\"")
        .json(&body)
        .send()
        .await;
    assert_eq!(changed.status, 200, "{changed:#?}");
    assert_eq!(
        (&changed.body["name"], &changed.body["color"]),
        (&json!("Red mug"), &json!(null))
    );
    assert_eq!(
        (&changed.body["size"], &changed.body["sku"]),
        (&json!("L"), &json!("MUG-1"))
    );
    assert_eq!(changed.body["unit_cost"]["amount"], 500);
    let end = shop.log_end().await;
    let stale = shop
        .admin(Method::PATCH, &path)
        .header("if-match", "\"1\"")
        .json(&body)
        .send()
        .await;
    stale.is_problem(412, "stale_version");
    let stale = shop
        .admin(Method::DELETE, &path)
        .header("if-match", "\"1\"")
        .send()
        .await;
    stale.is_problem(412, "stale_version");
    let bad = json!({"unit_cost": {"amount": -1, "currency": "EUR"}});
    shop.admin(Method::PATCH, &path)
        .json(&bad)
        .send()
        .await
        .names("/unit_cost/amount", "out_of_range");
    shop.admin(Method::PATCH, &path)
        .json(&json!({"name": ""}))
        .send()
        .await
        .names("/name", "required");
    shop.admin(Method::PATCH, &path)
        .json(&json!({"sku": "Y"}))
        .send()
        .await
        .names("/sku", "unknown_field");
    assert_eq!(shop.log_end().await, end);
}

#[tokio::test]
async fn a_partner_has_his_own_products_and_others_do_not_exist_for_him() {
    let shop = Shop::open().await;
    let ours = shop.selling_partner().await;
    let theirs = shop
        .admin(Method::POST, "/v1/partners")
        .new_key()
        .json(&partner())
        .send()
        .await
        .id();
    let added = shop
        .partner(ours, Method::POST, PATH)
        .new_key()
        .json(&product("MUG-1"))
        .send()
        .await;
    assert_eq!(
        (added.status.as_u16(), &added.body["partner_id"]),
        (201, &json!(ours))
    );
    let path = format!("{PATH}/{}", added.id());
    let change = json!({"name": "Mine"});
    assert_eq!(
        shop.partner(ours, Method::PATCH, &path)
            .json(&change)
            .send()
            .await
            .status,
        200
    );
    let end = shop.log_end().await;
    shop.partner(theirs, Method::PATCH, &path)
        .json(&change)
        .send()
        .await
        .is_problem(404, "not_found");
    shop.partner(theirs, Method::DELETE, &path)
        .send()
        .await
        .is_problem(404, "not_found");
    let shops = shop.product().await;
    let of_shop = format!("{PATH}/{shops}");
    shop.partner(ours, Method::DELETE, &of_shop)
        .send()
        .await
        .is_problem(404, "not_found");
    let mut for_other = product("MUG-2");
    for_other["partner_id"] = json!(theirs);
    shop.partner(ours, Method::POST, PATH)
        .new_key()
        .json(&for_other)
        .send()
        .await
        .is_problem(404, "not_found");
    let stranger = Uuid::now_v7();
    let reply = shop
        .partner(stranger, Method::POST, PATH)
        .new_key()
        .json(&product("MUG-3"))
        .send()
        .await;
    reply.is_problem(404, "not_found");
    // Only the shop's own product came in between.
    assert_eq!(shop.log_end().await, end + 2);
}

#[tokio::test]
async fn an_offer_is_set_set_again_paused_and_removed() {
    let shop = Shop::open().await;
    let (partner, product) = (shop.selling_partner().await, shop.product().await);
    let path = format!("/v1/partners/{partner}/offers/{product}");
    let price = json!({"amount": 1999, "currency": "EUR"});
    let set = shop
        .partner(partner, Method::PUT, &path)
        .json(&json!({"price": price}))
        .send()
        .await;
    assert_eq!(set.status, 200, "{set:#?}");
    assert_eq!(
        set.body,
        json!({"partner_id": partner, "product_id": product, "price": price, "active": true})
    );
    assert_eq!(set.header("etag"), "\"1\"");
    let again = shop
        .partner(partner, Method::PUT, &path)
        .json(&json!({"price": price}))
        .send()
        .await;
    assert_eq!(
        (again.status.as_u16(), again.position()),
        (200, set.position())
    );
    let pause = json!({"price": price, "active": false});
    let paused = shop
        .partner(partner, Method::PUT, &path)
        .header("if-match", "\"1\"")
        .json(&pause)
        .send()
        .await;
    assert_eq!(
        (&paused.body["active"], paused.header("etag")),
        (&json!(false), "\"2\"")
    );
    let stale = shop
        .partner(partner, Method::PUT, &path)
        .header("if-match", "\"1\"")
        .json(&pause)
        .send()
        .await;
    stale.is_problem(412, "stale_version");
    let removed = shop.partner(partner, Method::DELETE, &path).send().await;
    assert_eq!(removed.status, 204);
    let again = shop.partner(partner, Method::DELETE, &path).send().await;
    assert_eq!(
        (again.status.as_u16(), again.position()),
        (204, removed.position())
    );
}

#[tokio::test]
async fn offers_of_nothing_by_nobody_for_nothing_are_refused() {
    let shop = Shop::open().await;
    let (partner, product) = (shop.selling_partner().await, shop.product().await);
    let end = shop.log_end().await;
    let good = json!({"price": {"amount": 1, "currency": "EUR"}});
    let path = |partner: Uuid, product: Uuid| format!("/v1/partners/{partner}/offers/{product}");
    let here = &shop;
    let put =
        |path: String, body| async move { here.admin(Method::PUT, &path).json(&body).send().await };
    put(path(partner, Uuid::now_v7()), good.clone())
        .await
        .is_problem(404, "not_found");
    put(path(Uuid::now_v7(), product), good.clone())
        .await
        .is_problem(404, "not_found");
    let free = json!({"price": {"amount": 0, "currency": "EUR"}});
    put(path(partner, product), free)
        .await
        .names("/price/amount", "out_of_range");
    let huge = json!({"price": {"amount": 99999999999999999999999u128 as f64, "currency": "EUR"}});
    put(path(partner, product), huge)
        .await
        .names("/price/amount", "out_of_range");
    let unknown = json!({"price": {"amount": 5, "currency": "XYZ"}});
    put(path(partner, product), unknown)
        .await
        .names("/price/currency", "invalid");
    let reply = shop
        .admin(Method::DELETE, &path(partner, product))
        .send()
        .await;
    reply.is_problem(404, "not_found");
    let other = shop
        .partner(Uuid::now_v7(), Method::PUT, &path(partner, product))
        .json(&good)
        .send()
        .await;
    other.is_problem(404, "not_found");
    assert_eq!(shop.log_end().await, end);
}

#[tokio::test]
async fn a_partners_own_product_is_sold_by_nobody_else() {
    let shop = Shop::open().await;
    let (ours, theirs) = (shop.selling_partner().await, shop.selling_partner().await);
    let product = shop
        .partner(ours, Method::POST, PATH)
        .new_key()
        .json(&product("MUG-1"))
        .send()
        .await
        .id();
    let path = format!("/v1/partners/{theirs}/offers/{product}");
    let body = json!({"price": {"amount": 1, "currency": "EUR"}});
    shop.partner(theirs, Method::PUT, &path)
        .json(&body)
        .send()
        .await
        .is_problem(404, "not_found");
}

#[tokio::test]
async fn what_was_ordered_stays_ordered_when_its_product_is_removed() {
    let shop = Shop::open().await;
    let (ada, seller) = (Uuid::now_v7(), shop.selling_partner().await);
    let mug = shop.offered_product(seller, 1999, 10).await;
    let quote = shop.quote(ada, seller, mug, 2).await;
    let quoted = shop.quote(ada, seller, mug, 1).await;
    let order = shop.place(ada, "o-1", &by_card(quote)).await;
    assert_eq!(order.status, 202, "{order:#?}");
    let removed = shop
        .admin(Method::DELETE, &format!("{PATH}/{mug}"))
        .send()
        .await;
    assert_eq!(removed.status, 204);
    saga::authorised(&shop, order.id()).await;
    saga::captured(&shop, order.id()).await;
    assert!(shop.types().await.contains(&"order.confirmed".to_owned()));
    // A price that was quoted is kept; nothing new is quoted.
    let late = shop.place(ada, "o-2", &by_card(quoted)).await;
    assert_eq!(late.status, 202, "{late:#?}");
    let basket = crate::shop::basket(seller, &[(mug, 1)]);
    shop.check(ada, &basket)
        .await
        .is_problem(422, "unknown_product");
}

#[tokio::test]
async fn texts_that_are_too_long_and_addresses_that_are_none_are_named() {
    let shop = Shop::open().await;
    for (field, chars) in [
        ("sku", 101),
        ("name", 201),
        ("brand", 201),
        ("category", 201),
        ("size", 201),
        ("color", 201),
        ("description", 4_001),
    ] {
        let mut body = product("MUG-1");
        body[field] = json!("x".repeat(chars));
        let refused = shop
            .admin(Method::POST, PATH)
            .new_key()
            .json(&body)
            .send()
            .await;
        refused.names(&format!("/{field}"), "too_long");
        body[field] = json!("x".repeat(chars - 1));
        body["sku"] = json!(format!("{field:x<100}"));
        let taken = shop
            .admin(Method::POST, PATH)
            .new_key()
            .json(&body)
            .send()
            .await;
        assert_eq!(taken.status, 201, "{field}: {taken:#?}");
    }
    let mut body = product("MUG-1");
    body["picture_url"] = json!("javascript:alert(1)");
    shop.admin(Method::POST, PATH)
        .new_key()
        .json(&body)
        .send()
        .await
        .names("/picture_url", "invalid");
    let mut body = partner();
    for (field, chars) in [("title", 201), ("brand", 201), ("address", 501)] {
        let good = body[field].clone();
        body[field] = json!("x".repeat(chars));
        shop.admin(Method::POST, "/v1/partners")
            .new_key()
            .json(&body)
            .send()
            .await
            .names(&format!("/{field}"), "too_long");
        body[field] = good;
    }
}
