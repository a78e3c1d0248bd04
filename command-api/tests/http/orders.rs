//! From the question what it costs to the order, and back.

use std::collections::HashSet;
use std::time::Duration;

use event_schema::codec;
use event_schema::order::Placed;
use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::saga;
use crate::shop::{QUOTE_TTL, Shop, basket, by_card, product};

const PLACE: &str = "/v1/orders";

#[tokio::test]
async fn a_check_tells_prices_total_and_until_when_they_hold_and_appends_nothing() {
    let shop = Shop::open().await;
    let (ada, partner) = (Uuid::now_v7(), shop.selling_partner().await);
    let (mug, plate) = (
        shop.offered_product(partner, 1999, 10).await,
        shop.offered_product(partner, 500, 3).await,
    );
    let end = shop.log_end().await;
    let quoted = shop
        .check(ada, &basket(partner, &[(mug, 1), (plate, 3), (mug, 2)]))
        .await;
    assert_eq!(quoted.status, 200, "{quoted:#?}");
    assert_eq!(quoted.body["id"], quoted.body["quote_id"]);
    assert_eq!(quoted.body["partner_id"], json!(partner));
    assert_eq!(
        quoted.body["total"],
        json!({"amount": 3 * 1999 + 3 * 500, "currency": "EUR"})
    );
    let lines = quoted.body["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["product_id"], &lines[0]["quantity"]),
        (&json!(mug), &json!(3))
    );
    assert_eq!(
        lines[0]["unit_price"],
        json!({"amount": 1999, "currency": "EUR"})
    );
    assert_eq!(
        lines[0]["total"],
        json!({"amount": 5997, "currency": "EUR"})
    );
    assert_eq!(
        (&lines[0]["available"], &lines[0]["name"]),
        (&json!(10), &json!("Blue mug"))
    );
    let expires_at: jiff::Timestamp = quoted.body["expires_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(expires_at, shop.clock.now() + QUOTE_TTL);
    assert_eq!(shop.log_end().await, end);
}

#[tokio::test]
async fn what_cannot_be_ordered_is_named_line_by_line() {
    let shop = Shop::open().await;
    let (ada, ours, theirs) = (
        Uuid::now_v7(),
        shop.selling_partner().await,
        shop.selling_partner().await,
    );
    let mug = shop.offered_product(ours, 1999, 10).await;
    let of_theirs = shop.offered_product(theirs, 100, 10).await;
    let unoffered = shop.product().await;
    let paused = shop.offered_product(ours, 100, 10).await;
    let path = format!("/v1/partners/{ours}/offers/{paused}");
    let pause = json!({"price": {"amount": 100, "currency": "EUR"}, "active": false});
    shop.admin(Method::PUT, &path).json(&pause).send().await;
    let in_dollars = shop.product().await;
    shop.offer(ours, in_dollars, json!({"amount": 100, "currency": "USD"}))
        .await;
    shop.receive(in_dollars, 5).await;
    let removed = shop.offered_product(ours, 100, 10).await;
    shop.admin(Method::DELETE, &format!("/v1/products/{removed}"))
        .send()
        .await;
    let nothing = Uuid::now_v7();
    let own_of_theirs = {
        let body = product(&format!("OWN-{nothing}"));
        shop.partner(theirs, Method::POST, "/v1/products")
            .new_key()
            .json(&body)
            .send()
            .await
            .id()
    };
    let end = shop.log_end().await;

    for (lines, pointer, code) in [
        (vec![(nothing, 1)], "/lines/0/product_id", "unknown_product"),
        (
            vec![(mug, 1), (nothing, 1)],
            "/lines/1/product_id",
            "unknown_product",
        ),
        (vec![(removed, 1)], "/lines/0/product_id", "unknown_product"),
        (vec![(paused, 1)], "/lines/0/product_id", "unknown_product"),
        (
            vec![(unoffered, 1)],
            "/lines/0/product_id",
            "unknown_product",
        ),
        (
            vec![(mug, 1), (of_theirs, 1)],
            "/lines/1/product_id",
            "mixed_partners",
        ),
        (
            vec![(own_of_theirs, 1)],
            "/lines/0/product_id",
            "mixed_partners",
        ),
        (
            vec![(mug, 1), (in_dollars, 1)],
            "/lines/1/product_id",
            "currency_mismatch",
        ),
        (vec![(mug, 0)], "/lines/0/quantity", "quantity_out_of_range"),
        (
            vec![(mug, 10_001)],
            "/lines/0/quantity",
            "quantity_out_of_range",
        ),
        (
            vec![(mug, 9_999), (mug, 2)],
            "/lines/1/quantity",
            "quantity_out_of_range",
        ),
    ] {
        let reply = shop.check(ada, &basket(ours, &lines)).await;
        reply.is_problem(422, code);
        reply.names(pointer, code);
    }
    let mut expecting_dollars = basket(ours, &[(mug, 1)]);
    expecting_dollars["currency"] = json!("USD");
    shop.check(ada, &expecting_dollars)
        .await
        .is_problem(422, "currency_mismatch");
    let mut other_partners_line = basket(ours, &[(mug, 1)]);
    other_partners_line["lines"][0]["partner_id"] = json!(theirs);
    shop.check(ada, &other_partners_line)
        .await
        .is_problem(422, "mixed_partners");
    let many: Vec<_> = (0..51).map(|_| (Uuid::now_v7(), 1)).collect();
    shop.check(ada, &basket(ours, &many))
        .await
        .is_problem(422, "quantity_out_of_range");
    shop.check(ada, &basket(ours, &[]))
        .await
        .names("/lines", "required");
    let mut nowhere = basket(ours, &[(mug, 1)]);
    nowhere["delivery_address"] = json!("  ");
    nowhere["phone"] = json!("call me");
    let reply = shop.check(ada, &nowhere).await;
    reply.is_problem(422, "invalid");
    reply.names("/delivery_address", "required");
    reply.names("/phone", "invalid");
    assert_eq!(shop.log_end().await, end);
}

#[tokio::test]
async fn a_partner_that_does_not_sell_sells_nothing() {
    let shop = Shop::open().await;
    let (ada, partner) = (Uuid::now_v7(), shop.selling_partner().await);
    let mug = shop.offered_product(partner, 1999, 10).await;
    shop.admin(Method::POST, &format!("/v1/partners/{partner}/disable"))
        .send()
        .await;
    let reply = shop.check(ada, &basket(partner, &[(mug, 1)])).await;
    reply.is_problem(422, "invalid");
    reply.names("/partner_id", "unknown_partner");
    let reply = shop.check(ada, &basket(Uuid::now_v7(), &[(mug, 1)])).await;
    assert_eq!(reply.status, 422);
    reply.names("/partner_id", "unknown_partner");
}

#[tokio::test]
async fn more_than_there_is_is_out_of_stock_and_the_product_is_named() {
    let shop = Shop::open().await;
    let (ada, partner) = (Uuid::now_v7(), shop.selling_partner().await);
    let mug = shop.offered_product(partner, 1999, 2).await;
    let reply = shop.check(ada, &basket(partner, &[(mug, 3)])).await;
    reply.is_problem(409, "out_of_stock");
    assert_eq!(
        (&reply.body["product_id"], &reply.body["available"]),
        (&json!(mug), &json!(2))
    );
    assert!(reply.body["detail"].as_str().unwrap().contains("Blue mug"));
}

#[tokio::test]
async fn an_order_its_payment_and_its_saga_are_one_group_and_nothing_personal_is_readable() {
    let shop = Shop::open().await;
    let (ada, partner) = (Uuid::now_v7(), shop.selling_partner().await);
    let mug = shop.offered_product(partner, 1999, 10).await;
    let quote = shop.quote(ada, partner, mug, 2).await;
    let before = shop.log_end().await;
    let placed = shop.place(ada, "o-1", &by_card(quote)).await;
    assert_eq!(placed.status, 202, "{placed:#?}");
    let id = placed.id();
    assert_eq!(placed.body["order_id"], json!(id));
    assert_eq!(
        (&placed.body["status"], &placed.body["quote_id"]),
        (&json!("pending_payment"), &json!(quote))
    );
    assert_eq!(
        placed.body["total"],
        json!({"amount": 3998, "currency": "EUR"})
    );
    assert_eq!(placed.header("location"), format!("/v1/orders/{id}"));
    assert_eq!(placed.header("etag"), "\"1\"");

    let group = shop.log().await.split_off(usize::try_from(before).unwrap());
    let types: Vec<_> = group
        .iter()
        .map(|event| event.event_type.as_str())
        .collect();
    assert_eq!(
        types,
        [
            "order.placed",
            "payment.requested",
            "fulfilment.started",
            "fulfilment.intended"
        ]
    );
    assert_eq!(placed.position(), before + 4);
    for event in &group {
        assert_eq!(event.aggregate_id(), Some(id));
        assert_eq!(event.metadata.command_id.uuid(), id);
        assert_eq!(event.metadata.actor.as_str(), format!("customer:{ada}"));
        let text = String::from_utf8_lossy(&event.payload);
        assert!(!text.contains("Elm") && !text.contains("5550111"), "{text}");
    }
    let fact: Placed = codec::decode(&group[0].payload).unwrap();
    let key = shop.vault.open(ada).await.unwrap();
    assert_eq!(
        fact.delivery_address.open(key.as_ref()).unwrap().as_deref(),
        Some("5 Elm Street\nSpringfield")
    );
    assert_eq!(fact.delivery_address.origin, quote);
}

#[tokio::test]
async fn a_repeat_is_recognised_before_quote_price_and_stock_are_looked_at() {
    let shop = Shop::open().await;
    let (ada, partner) = (Uuid::now_v7(), shop.selling_partner().await);
    let mug = shop.offered_product(partner, 1999, 10).await;
    let quote = shop.quote(ada, partner, mug, 2).await;
    let first = shop.place(ada, "o-1", &by_card(quote)).await;
    // The quote expires, the price changes, the product goes.
    shop.clock.advance(QUOTE_TTL * 3);
    shop.offer(partner, mug, json!({"amount": 1, "currency": "EUR"}))
        .await;
    shop.admin(Method::DELETE, &format!("/v1/products/{mug}"))
        .send()
        .await;
    let end = shop.log_end().await;
    for _ in 0..3 {
        let again = shop.place(ada, "o-1", &by_card(quote)).await;
        assert_eq!(
            (again.status, &again.body, again.position()),
            (first.status, &first.body, first.position())
        );
    }
    let checkout = json!({"quote_id": quote, "payment": {"method": "checkout"}});
    shop.place(ada, "o-1", &checkout)
        .await
        .is_problem(422, "idempotency_key_reused");
    assert_eq!(shop.log_end().await, end);
}

#[tokio::test]
async fn the_same_key_of_another_customer_is_another_command() {
    let shop = Shop::open().await;
    let (ada, bob, partner) = (Uuid::now_v7(), Uuid::now_v7(), shop.selling_partner().await);
    let mug = shop.offered_product(partner, 1999, 10).await;
    let of_ada = shop
        .place(ada, "o-1", &by_card(shop.quote(ada, partner, mug, 1).await))
        .await;
    let of_bob = shop
        .place(bob, "o-1", &by_card(shop.quote(bob, partner, mug, 1).await))
        .await;
    assert_eq!((of_ada.status.as_u16(), of_bob.status.as_u16()), (202, 202));
    assert_ne!(of_ada.id(), of_bob.id());
}

#[tokio::test]
async fn quotes_that_are_expired_foreign_or_unknown_make_no_order() {
    let shop = Shop::open().await;
    let (ada, bob, partner) = (Uuid::now_v7(), Uuid::now_v7(), shop.selling_partner().await);
    let mug = shop.offered_product(partner, 1999, 10).await;
    let quote = shop.quote(ada, partner, mug, 1).await;
    let end = shop.log_end().await;
    shop.place(bob, "o-1", &by_card(quote))
        .await
        .is_problem(404, "not_found");
    shop.place(ada, "o-2", &by_card(Uuid::now_v7()))
        .await
        .is_problem(404, "not_found");
    shop.clock.advance(QUOTE_TTL - Duration::from_millis(1));
    shop.place(bob, "o-3", &by_card(quote))
        .await
        .is_problem(404, "not_found");
    shop.clock.advance(Duration::from_millis(1));
    shop.place(ada, "o-4", &by_card(quote))
        .await
        .is_problem(409, "quote_expired");
    assert_eq!(shop.log_end().await, end);
}

#[tokio::test]
async fn a_quote_is_used_by_one_order() {
    let shop = Shop::open().await;
    let (ada, partner) = (Uuid::now_v7(), shop.selling_partner().await);
    let mug = shop.offered_product(partner, 1999, 100).await;
    let quote = shop.quote(ada, partner, mug, 1).await;
    let keys: Vec<_> = (0..32).map(|n| format!("race-{n}")).collect();
    let body = by_card(quote);
    let replies = join_all(keys.iter().map(|key| shop.place(ada, key, &body))).await;
    let placed = replies.iter().filter(|reply| reply.status == 202).count();
    let used = replies
        .iter()
        .filter(|reply| reply.status == 409 && reply.code() == "quote_used")
        .count();
    assert_eq!((placed, used), (1, 31), "{replies:#?}");
    let orders = shop
        .types()
        .await
        .iter()
        .filter(|kind| *kind == "order.placed")
        .count();
    assert_eq!(orders, 1);
}

#[tokio::test]
async fn of_32_repeats_at_once_all_are_told_of_the_same_order() {
    let shop = Shop::open().await;
    let (ada, partner) = (Uuid::now_v7(), shop.selling_partner().await);
    let mug = shop.offered_product(partner, 1999, 100).await;
    let body = by_card(shop.quote(ada, partner, mug, 1).await);
    let replies = join_all((0..32).map(|_| shop.place(ada, "once", &body))).await;
    assert!(
        replies.iter().all(|reply| reply.status == 202),
        "{replies:#?}"
    );
    let told: HashSet<(Uuid, u64)> = replies
        .iter()
        .map(|reply| (reply.id(), reply.position()))
        .collect();
    assert_eq!(told.len(), 1);
    let orders = shop
        .types()
        .await
        .iter()
        .filter(|kind| *kind == "order.placed")
        .count();
    assert_eq!(orders, 1);
}

#[tokio::test]
async fn ways_of_paying_that_do_not_exist_are_named() {
    let shop = Shop::open().await;
    let ada = Uuid::now_v7();
    let quote = Uuid::now_v7();
    for (payment, pointer) in [
        (json!({"method": "card"}), "/payment/token"),
        (json!({"method": "card", "token": " "}), "/payment/token"),
        (
            json!({"method": "card", "token": "two words"}),
            "/payment/token",
        ),
        (
            json!({"method": "checkout", "token": "pm_card_visa"}),
            "/payment/token",
        ),
        (json!({"method": "cash"}), "/payment/method"),
        (json!({}), "/payment/method"),
    ] {
        let reply = shop
            .place(ada, "o-1", &json!({"quote_id": quote, "payment": payment}))
            .await;
        reply.is_problem(422, "invalid");
        let named = reply.body["errors"]
            .as_array()
            .unwrap()
            .iter()
            .any(|error| error["pointer"] == pointer);
        assert!(named, "{pointer}: {reply:#?}");
    }
    let none = shop
        .customer(ada, Method::POST, PLACE)
        .json(&by_card(quote))
        .send()
        .await;
    none.is_problem(400, "idempotency_key_missing");
    assert_eq!(shop.log_end().await, 0);
}

#[tokio::test]
async fn a_hosted_checkout_is_placed_alike() {
    let shop = Shop::open().await;
    let (ada, partner) = (Uuid::now_v7(), shop.selling_partner().await);
    let mug = shop.offered_product(partner, 1999, 10).await;
    let quote = shop.quote(ada, partner, mug, 1).await;
    let placed = shop
        .place(
            ada,
            "o-1",
            &json!({"quote_id": quote, "payment": {"method": "checkout"}}),
        )
        .await;
    assert_eq!(
        (placed.status.as_u16(), &placed.body["status"]),
        (202, &json!("pending_payment"))
    );
}

async fn placed_order(shop: &Shop, ada: Uuid) -> Uuid {
    let partner = shop.selling_partner().await;
    let mug = shop.offered_product(partner, 1999, 10).await;
    let quote = shop.quote(ada, partner, mug, 2).await;
    shop.place(ada, "o-1", &by_card(quote)).await.id()
}

fn cancel_path(order: Uuid) -> String {
    format!("/v1/orders/{order}/cancel")
}

#[tokio::test]
async fn the_owner_calls_his_order_off_and_again_is_the_same() {
    let shop = Shop::open().await;
    let ada = Uuid::now_v7();
    let order = placed_order(&shop, ada).await;
    let cancelled = shop
        .customer(ada, Method::POST, &cancel_path(order))
        .send()
        .await;
    assert_eq!(cancelled.status, 202, "{cancelled:#?}");
    assert_eq!(
        cancelled.body,
        json!({"id": order, "order_id": order, "status": "cancelling", "status_reason": "customer_cancelled"})
    );
    assert_eq!(cancelled.header("location"), format!("/v1/orders/{order}"));
    assert_eq!(cancelled.position(), shop.log_end().await);
    let types = shop.types().await;
    for kind in [
        "order.cancelling",
        "fulfilment.unwinding_began",
        "payment.void_requested",
    ] {
        assert!(
            types.iter().any(|event| event == kind),
            "{kind} is missing: {types:?}"
        );
    }
    let again = shop
        .customer(ada, Method::POST, &cancel_path(order))
        .key("c-2")
        .send()
        .await;
    assert_eq!(
        (again.status, &again.body, again.position()),
        (cancelled.status, &cancelled.body, cancelled.position())
    );
    assert_eq!(shop.log_end().await, cancelled.position());
}

#[tokio::test]
async fn of_16_who_cancel_at_once_all_are_told_the_same_and_it_happens_once() {
    let shop = Shop::open().await;
    let ada = Uuid::now_v7();
    let order = placed_order(&shop, ada).await;
    let path = cancel_path(order);
    let replies = join_all((0..16).map(|_| shop.customer(ada, Method::POST, &path).send())).await;
    assert!(
        replies.iter().all(|reply| reply.status == 202),
        "{replies:#?}"
    );
    let begun = shop
        .types()
        .await
        .iter()
        .filter(|kind| *kind == "order.cancelling")
        .count();
    assert_eq!(begun, 1);
}

#[tokio::test]
async fn an_admin_calls_any_order_off_and_strangers_do_not_see_it() {
    let shop = Shop::open().await;
    let ada = Uuid::now_v7();
    let order = placed_order(&shop, ada).await;
    let end = shop.log_end().await;
    let bob = Uuid::now_v7();
    shop.customer(bob, Method::POST, &cancel_path(order))
        .send()
        .await
        .is_problem(404, "not_found");
    shop.customer(ada, Method::POST, &cancel_path(Uuid::now_v7()))
        .send()
        .await
        .is_problem(404, "not_found");
    assert_eq!(shop.log_end().await, end);
    let cancelled = shop.admin(Method::POST, &cancel_path(order)).send().await;
    assert_eq!(
        (cancelled.status.as_u16(), &cancelled.body["status_reason"]),
        (202, &json!("operator_aborted"))
    );
}

#[tokio::test]
async fn once_the_money_is_being_taken_it_is_too_late() {
    let shop = Shop::open().await;
    let ada = Uuid::now_v7();
    let order = placed_order(&shop, ada).await;
    saga::authorised(&shop, order).await;
    assert_eq!(shop.types().await.last().unwrap(), "fulfilment.intended");
    let end = shop.log_end().await;
    for _ in 0..2 {
        shop.customer(ada, Method::POST, &cancel_path(order))
            .send()
            .await
            .is_problem(409, "too_late");
    }
    assert_eq!(shop.log_end().await, end);
    saga::captured(&shop, order).await;
    shop.admin(Method::POST, &cancel_path(order))
        .send()
        .await
        .is_problem(409, "too_late");
}

#[tokio::test]
async fn stock_that_is_held_for_others_cannot_be_promised() {
    let shop = Shop::open().await;
    let (ada, partner) = (Uuid::now_v7(), shop.selling_partner().await);
    let mug = shop.offered_product(partner, 1999, 3).await;
    let quote = shop.quote(ada, partner, mug, 2).await;
    let order = shop.place(ada, "o-1", &by_card(quote)).await.id();
    saga::authorised(&shop, order).await;
    let reply = shop.check(ada, &basket(partner, &[(mug, 2)])).await;
    reply.is_problem(409, "out_of_stock");
    let still: Value = shop.check(ada, &basket(partner, &[(mug, 1)])).await.body;
    assert_eq!(still["lines"][0]["available"], 1);
}
