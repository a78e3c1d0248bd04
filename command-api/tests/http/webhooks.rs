//! Callbacks of the payment provider: believed by signature, recorded once, kept when they are about nothing of ours.

use aws_lc_rs::hmac;
use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::shop::{Reply, Shop, WEBHOOK_SECRET, by_card};

const PATH: &str = "/v1/webhooks/payments/sandbox";

fn signed(shop: &Shop, secret: &str, body: &str) -> String {
    let at = shop.clock.now().as_second();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hmac::sign(&key, format!("{at}.{body}").as_bytes());
    format!("t={at},v1={}", hex::encode(signature))
}

pub async fn call(shop: &Shop, event: &Value) -> Reply {
    let body = event.to_string();
    let signature = signed(shop, WEBHOOK_SECRET, &body);
    shop.nobody(Method::POST, PATH)
        .header("content-type", "application/json")
        .header("stripe-signature", &signature)
        .raw(body)
        .send()
        .await
}

pub fn authorised(event: &str, order: &str) -> Value {
    json!({
        "id": event, "object": "event", "type": "payment_intent.amount_capturable_updated", "created": 1_800_000_000,
        "data": {"object": {"id": "pi_1", "object": "payment_intent", "amount": 1999, "amount_capturable": 1999,
            "currency": "eur", "status": "requires_capture", "metadata": {"order_id": order, "effect_id": "e"}}},
    })
}

async fn order(shop: &Shop) -> Uuid {
    let (ada, partner) = (Uuid::now_v7(), shop.selling_partner().await);
    let mug = shop.offered_product(partner, 1999, 10).await;
    let quote = shop.quote(ada, partner, mug, 1).await;
    shop.place(ada, "o-1", &by_card(quote)).await.id()
}

#[tokio::test]
async fn a_signed_callback_is_recorded_once_with_the_payment_it_is_about() {
    let shop = Shop::open().await;
    let order = order(&shop).await;
    let event = authorised("evt_1", &order.to_string());
    let first = call(&shop, &event).await;
    assert_eq!(
        (first.status.as_u16(), &first.body["received"]),
        (200, &json!(true)),
        "{first:#?}"
    );
    assert_eq!(first.position(), shop.log_end().await);
    let recorded = shop.log().await.pop().unwrap();
    assert_eq!(recorded.event_type, "payment.callback_recorded");
    assert_eq!(recorded.aggregate_id(), Some(order));
    assert_eq!(recorded.metadata.actor.as_str(), "provider:sandbox");
    assert_eq!(recorded.metadata.correlation_id, order);

    let again = join_all((0..8).map(|_| call(&shop, &event))).await;
    for reply in again {
        assert_eq!(
            (reply.status.as_u16(), reply.position()),
            (200, first.position())
        );
    }
    assert_eq!(shop.log_end().await, first.position());
}

#[tokio::test]
async fn a_forged_callback_is_refused_and_leaves_nothing() {
    let shop = Shop::open().await;
    let order = order(&shop).await;
    let end = shop.log_end().await;
    let body = authorised("evt_1", &order.to_string()).to_string();
    let good = signed(&shop, WEBHOOK_SECRET, &body);
    let late = {
        let signature = signed(&shop, WEBHOOK_SECRET, &body);
        shop.clock.advance(std::time::Duration::from_secs(301));
        signature
    };
    let other_body = body.replace("1999", "1");
    let here = &shop;
    let send = |signature: Option<String>, body: String| async move {
        let ask = here
            .nobody(Method::POST, PATH)
            .header("content-type", "application/json")
            .raw(body);
        match signature {
            Some(signature) => ask.header("stripe-signature", &signature).send().await,
            None => ask.send().await,
        }
    };
    for (signature, body) in [
        (None, body.clone()),
        (Some(String::new()), body.clone()),
        (Some("t=1,v1=00".into()), body.clone()),
        (Some(signed(&shop, "whsec_forged", &body)), body.clone()),
        (Some(good), other_body),
        (Some(late), body.clone()),
    ] {
        send(signature, body)
            .await
            .is_problem(400, "signature_invalid");
    }
    assert_eq!(shop.log_end().await, end);
}

#[tokio::test]
async fn a_token_does_not_replace_the_signature() {
    let shop = Shop::open().await;
    let body = authorised("evt_1", &Uuid::now_v7().to_string());
    shop.admin(Method::POST, PATH)
        .json(&body)
        .send()
        .await
        .is_problem(400, "signature_invalid");
}

#[tokio::test]
async fn another_providers_address_does_not_exist() {
    let shop = Shop::open().await;
    let reply = shop
        .nobody(Method::POST, "/v1/webhooks/payments/stripe")
        .raw("{}")
        .send()
        .await;
    reply.is_problem(404, "not_found");
}

#[tokio::test]
async fn a_callback_about_no_order_of_ours_is_kept_once() {
    let shop = Shop::open().await;
    let stranger = Uuid::now_v7().to_string();
    for (event, reference) in [("evt_1", stranger.as_str()), ("evt_2", "order 4711")] {
        let first = call(&shop, &authorised(event, reference)).await;
        assert_eq!(first.status, 200, "{first:#?}");
        let again = call(&shop, &authorised(event, reference)).await;
        assert_eq!(
            (again.status.as_u16(), again.position()),
            (200, first.position())
        );
    }
    assert_eq!(
        shop.types().await,
        ["stray_callback.received", "stray_callback.received"]
    );
}

#[tokio::test]
async fn events_that_say_nothing_about_a_payment_are_answered_and_forgotten() {
    let shop = Shop::open().await;
    let event = json!({"id": "evt_9", "type": "customer.created", "created": 1, "data": {"object": {"id": "cus_1"}}});
    let reply = call(&shop, &event).await;
    assert_eq!(reply.status, 200);
    assert!(reply.headers.get("waybill-position").is_none());
    assert_eq!(shop.log_end().await, 0);
}

#[tokio::test]
async fn signed_nonsense_is_unreadable() {
    let shop = Shop::open().await;
    for body in ["", "no json", "{}", "[1]"] {
        let signature = signed(&shop, WEBHOOK_SECRET, body);
        let ask = shop
            .nobody(Method::POST, PATH)
            .header("stripe-signature", &signature)
            .raw(body);
        ask.send().await.is_problem(400, "unreadable_event");
    }
}

#[tokio::test]
async fn a_callback_of_two_megabytes_is_too_large() {
    let shop = Shop::open().await;
    let ask = shop.nobody(Method::POST, PATH).raw(vec![b' '; 2 << 20]);
    ask.send().await.is_problem(413, "body_too_large");
}
