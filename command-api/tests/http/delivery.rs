//! From confirmed to delivered: prepared by route or signed message, taken by one, handed over by the same.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use service_kit::Role;
use uuid::Uuid;

use crate::saga;
use crate::shop::{Reply, Shop, by_card, partner};

const WHERE: &str = "1 Main Street, back door";

/// An order in a shop, and who sells it.
struct Sale {
    shop: Shop,
    customer: Uuid,
    partner: Uuid,
    order: Uuid,
}

impl Sale {
    /// Placed, not paid.
    async fn placed() -> Self {
        let shop = Shop::open().await;
        let (customer, partner) = (Uuid::now_v7(), shop.selling_partner().await);
        let mug = shop.offered_product(partner, 1999, 10).await;
        let quote = shop.quote(customer, partner, mug, 2).await;
        let order = shop.place(customer, "o-1", &by_card(quote)).await.id();
        Self {
            shop,
            customer,
            partner,
            order,
        }
    }

    async fn confirmed() -> Self {
        let sale = Self::placed().await;
        saga::authorised(&sale.shop, sale.order).await;
        saga::captured(&sale.shop, sale.order).await;
        sale
    }

    async fn ready() -> Self {
        let sale = Self::confirmed().await;
        let reply = sale.make_ready(sale.partner).await;
        assert_eq!(reply.status, 200, "{reply:#?}");
        sale
    }

    fn path(&self, verb: &str) -> String {
        format!("/v1/orders/{}/{verb}", self.order)
    }

    async fn make_ready(&self, partner: Uuid) -> Reply {
        let ask = self
            .shop
            .partner(partner, Method::POST, &self.path("ready"));
        ask.json(&json!({"pickup_address": WHERE})).send().await
    }

    async fn as_deliverer(&self, deliverer: Uuid, verb: &str) -> Reply {
        let ask = self
            .shop
            .by(Role::Deliverer, deliverer, Method::POST, &self.path(verb));
        ask.send().await
    }

    /// The order's own events.
    async fn story(&self) -> Vec<String> {
        let log = self.shop.log().await.into_iter();
        log.filter(|event| event.subject.aggregate() == Some(("order", self.order)))
            .map(|event| event.event_type)
            .collect()
    }
}

#[tokio::test]
async fn an_order_is_prepared_taken_and_delivered() {
    let sale = Sale::confirmed().await;
    let (order, ben) = (sale.order, Uuid::now_v7());
    let ready = sale.make_ready(sale.partner).await;
    assert_eq!(ready.status, 200, "{ready:#?}");
    assert_eq!(
        ready.body,
        json!({"id": order, "order_id": order, "status": "ready", "pickup_address": WHERE})
    );
    assert_eq!(ready.header("etag"), "\"3\"");
    assert_eq!(ready.position(), sale.shop.log_end().await);

    let taken = sale.as_deliverer(ben, "assign").await;
    assert_eq!(
        (taken.status.as_u16(), &taken.body),
        (
            200,
            &json!({"id": order, "order_id": order, "status": "delivering", "pickup_address": WHERE,
                    "deliverer_id": ben})
        )
    );
    let delivered = sale.as_deliverer(ben, "deliver").await;
    assert_eq!(
        (delivered.status.as_u16(), &delivered.body["status"]),
        (200, &json!("delivered"))
    );
    assert_eq!(delivered.header("etag"), "\"5\"");
    assert_eq!(
        sale.story().await,
        [
            "order.placed",
            "order.confirmed",
            "order.ready",
            "order.assigned",
            "order.delivered"
        ]
    );
}

#[tokio::test]
async fn each_step_may_be_told_again_and_is_answered_as_the_first_time() {
    let sale = Sale::confirmed().await;
    let ben = Uuid::now_v7();
    let ready = sale.make_ready(sale.partner).await;
    // The first address counts, and who looks after the shop may say it too.
    let other = json!({"pickup_address": "2 Back Yard"});
    let path = sale.path("ready");
    let ask = sale.shop.admin(Method::POST, &path).new_key();
    let again = ask.json(&other).send().await;
    assert_eq!(
        (again.status, &again.body, again.position()),
        (ready.status, &ready.body, ready.position())
    );
    for verb in ["assign", "deliver"] {
        let first = sale.as_deliverer(ben, verb).await;
        assert_eq!(first.status, 200, "{first:#?}");
        let again = sale.as_deliverer(ben, verb).await;
        assert_eq!(
            (again.status, &again.body, again.position()),
            (first.status, &first.body, first.position())
        );
    }
    let late = sale.make_ready(sale.partner).await;
    assert_eq!((late.status, &late.body), (ready.status, &ready.body));
    assert_eq!(sale.story().await.len(), 5);
}

#[tokio::test]
async fn a_key_that_was_used_for_another_address_is_refused_and_the_same_command_is_answered_again()
{
    let sale = Sale::confirmed().await;
    let path = sale.path("ready");
    let send = async |key: &str, address: &str| {
        let ask = sale.shop.partner(sale.partner, Method::POST, &path);
        let body = json!({"pickup_address": address});
        ask.key(key).json(&body).send().await
    };
    let first = send("k-1", WHERE).await;
    assert_eq!(first.status, 200, "{first:#?}");
    let again = send("k-1", WHERE).await;
    assert_eq!((again.status, again.body), (first.status, first.body));
    send("k-1", "2 Back Yard")
        .await
        .is_problem(422, "idempotency_key_reused");
    assert_eq!(
        send("k-2", "2 Back Yard").await.body["pickup_address"],
        WHERE
    );
}

#[tokio::test]
async fn of_ten_deliverers_who_try_at_once_one_takes_the_order() {
    let sale = Sale::ready().await;
    let deliverers: Vec<Uuid> = (0..10).map(|_| Uuid::now_v7()).collect();
    let tries = deliverers
        .iter()
        .map(|deliverer| sale.as_deliverer(*deliverer, "assign"));
    let replies = join_all(tries).await;
    let (won, lost): (Vec<_>, Vec<_>) = deliverers
        .iter()
        .zip(&replies)
        .partition(|(_, reply)| reply.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 9), "{replies:#?}");
    for (_, reply) in lost {
        reply.is_problem(409, "already_taken");
    }
    let (winner, reply) = won[0];
    assert_eq!(reply.body["deliverer_id"], json!(winner));
    let story = sale.story().await;
    let taken = story.iter().filter(|kind| *kind == "order.assigned");
    assert_eq!(taken.count(), 1);
}

#[tokio::test]
async fn of_deliverers_at_two_replicas_one_takes_the_order() {
    let sale = Sale::ready().await;
    let twin = sale
        .shop
        .twin(std::sync::Arc::clone(sale.shop.executor.store()))
        .await;
    let path = sale.path("assign");
    let tries = (0..10).map(|number| {
        let shop = if number % 2 == 0 { &sale.shop } else { &twin };
        shop.by(Role::Deliverer, Uuid::now_v7(), Method::POST, &path)
            .send()
    });
    let replies = join_all(tries).await;
    let won = replies.iter().filter(|reply| reply.status == 200).count();
    let lost = replies
        .iter()
        .filter(|reply| (reply.status.as_u16(), reply.code()) == (409, "already_taken"))
        .count();
    assert_eq!((won, lost), (1, 9), "{replies:#?}");
}

#[tokio::test]
async fn a_step_that_is_not_due_is_refused_and_leaves_nothing() {
    let sale = Sale::placed().await;
    let ben = Uuid::now_v7();
    let end = sale.shop.log_end().await;
    sale.make_ready(sale.partner)
        .await
        .is_problem(409, "not_confirmed");
    sale.as_deliverer(ben, "assign")
        .await
        .is_problem(409, "not_ready");
    sale.as_deliverer(ben, "deliver")
        .await
        .is_problem(409, "not_taken");
    assert_eq!(sale.shop.log_end().await, end);

    let cancel = sale
        .shop
        .customer(sale.customer, Method::POST, &sale.path("cancel"));
    assert_eq!(cancel.send().await.status, 202);
    let end = sale.shop.log_end().await;
    sale.make_ready(sale.partner)
        .await
        .is_problem(409, "called_off");
    sale.as_deliverer(ben, "assign")
        .await
        .is_problem(409, "called_off");
    assert_eq!(sale.shop.log_end().await, end);

    let sale = Sale::ready().await;
    sale.as_deliverer(ben, "deliver")
        .await
        .is_problem(409, "not_taken");
    let cancel = sale
        .shop
        .customer(sale.customer, Method::POST, &sale.path("cancel"));
    cancel.send().await.is_problem(409, "too_late");
}

#[tokio::test]
async fn what_is_somebody_elses_does_not_exist() {
    let sale = Sale::confirmed().await;
    let (ben, eve) = (Uuid::now_v7(), Uuid::now_v7());
    let other = sale.shop.selling_partner().await;
    let end = sale.shop.log_end().await;
    sale.make_ready(other).await.is_problem(404, "not_found");
    let nothing = format!("/v1/orders/{}", Uuid::now_v7());
    let body = json!({"pickup_address": WHERE});
    for role in [Role::Admin, Role::Partner] {
        let ask = sale
            .shop
            .by(role, other, Method::POST, &format!("{nothing}/ready"));
        let reply = ask.json(&body).send().await;
        reply.is_problem(404, "not_found");
    }
    for verb in ["assign", "deliver"] {
        let path = format!("{nothing}/{verb}");
        let ask = sale.shop.by(Role::Deliverer, ben, Method::POST, &path);
        ask.send().await.is_problem(404, "not_found");
    }
    assert_eq!(sale.shop.log_end().await, end);

    sale.make_ready(sale.partner).await;
    assert_eq!(sale.as_deliverer(ben, "assign").await.status, 200);
    sale.as_deliverer(eve, "deliver")
        .await
        .is_problem(404, "not_found");
    assert_eq!(sale.as_deliverer(ben, "deliver").await.status, 200);
    sale.as_deliverer(eve, "deliver")
        .await
        .is_problem(404, "not_found");
}

#[tokio::test]
async fn an_address_where_nobody_can_go_is_refused() {
    let sale = Sale::confirmed().await;
    let send = async |body: Value| {
        let path = sale.path("ready");
        let ask = sale.shop.partner(sale.partner, Method::POST, &path);
        ask.json(&body).send().await
    };
    let blank = send(json!({"pickup_address": "  \n "})).await;
    blank.is_problem(422, "invalid");
    blank.names("/pickup_address", "required");
    send(json!({"pickup_address": "x".repeat(501)}))
        .await
        .names("/pickup_address", "too_long");
    send(json!({})).await.names("/pickup_address", "required");
    send(json!({"pickup_address": 7}))
        .await
        .names("/pickup_address", "wrong_type");
}

#[tokio::test]
async fn who_has_seen_an_older_version_is_told_so_and_a_repeat_is_not() {
    let sale = Sale::confirmed().await;
    let ben = Uuid::now_v7();
    let ready = async |seen: &str| {
        let path = sale.path("ready");
        let ask = sale.shop.partner(sale.partner, Method::POST, &path);
        let ask = ask.header("if-match", seen);
        ask.json(&json!({"pickup_address": WHERE})).send().await
    };
    let step = async |verb: &str, seen: &str| {
        let ask = sale
            .shop
            .by(Role::Deliverer, ben, Method::POST, &sale.path(verb));
        ask.header("if-match", seen).send().await
    };
    let end = sale.shop.log_end().await;
    ready("\"1\"").await.is_problem(412, "stale_version");
    assert_eq!(sale.shop.log_end().await, end);
    assert_eq!(ready("\"2\"").await.status, 200);
    assert_eq!(ready("\"2\"").await.status, 200, "already true");
    for (verb, stale, seen) in [("assign", "\"2\"", "\"3\""), ("deliver", "\"3\"", "\"4\"")] {
        step(verb, stale).await.is_problem(412, "stale_version");
        assert_eq!(step(verb, seen).await.status, 200);
        assert_eq!(step(verb, seen).await.status, 200, "already true");
    }

    let sale = Sale::placed().await;
    let cancel = async |seen: &str| {
        let path = sale.path("cancel");
        let ask = sale.shop.customer(sale.customer, Method::POST, &path);
        ask.header("if-match", seen).send().await
    };
    cancel("\"7\"").await.is_problem(412, "stale_version");
    assert_eq!(cancel("\"1\"").await.status, 202);
    assert_eq!(cancel("\"1\"").await.status, 202, "already true");
}

/// A partner's own system, as Standard Webhooks has it.
struct Machine<'a> {
    shop: &'a Shop,
    partner: Uuid,
    secret: String,
}

impl<'a> Machine<'a> {
    /// A partner whose secret we have seen.
    async fn of_a_new_partner(shop: &'a Shop) -> Self {
        let ask = shop.admin(Method::POST, "/v1/partners").new_key();
        let added = ask.json(&partner()).send().await;
        let partner = added.id();
        for flag in ["verify", "enable"] {
            let path = format!("/v1/partners/{partner}/{flag}");
            assert_eq!(shop.admin(Method::POST, &path).send().await.status, 200);
        }
        let secret = added.body["webhook_secret"].as_str().unwrap().to_owned();
        Self {
            shop,
            partner,
            secret,
        }
    }

    fn sign(&self, id: &str, at: i64, body: &str) -> String {
        let bytes = STANDARD
            .decode(self.secret.strip_prefix("whsec_").unwrap())
            .unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        let signature = hmac::sign(&key, format!("{id}.{at}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(signature))
    }

    async fn send(&self, to: Uuid, id: &str, at: i64, signature: &str, body: &str) -> Reply {
        let path = format!("/v1/webhooks/partners/{to}");
        self.shop
            .nobody(Method::POST, &path)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", &at.to_string())
            .header("webhook-signature", signature)
            .raw(body)
            .send()
            .await
    }

    /// Signed as it should be.
    async fn says(&self, id: &str, message: &Value) -> Reply {
        let (at, body) = (self.shop.clock.now().as_second(), message.to_string());
        let signature = self.sign(id, at, &body);
        self.send(self.partner, id, at, &signature, &body).await
    }

    /// An order of this partner that is paid and in stock.
    async fn confirmed_order(&self) -> Uuid {
        let (shop, ada) = (self.shop, Uuid::now_v7());
        let mug = shop.offered_product(self.partner, 1999, 10).await;
        let quote = shop.quote(ada, self.partner, mug, 1).await;
        let order = shop.place(ada, "o-1", &by_card(quote)).await.id();
        saga::authorised(shop, order).await;
        saga::captured(shop, order).await;
        order
    }
}

fn is_ready(order: Uuid) -> Value {
    json!({"type": "order.ready", "timestamp": "2027-01-15T08:00:00Z",
           "data": {"order_id": order, "pickup_address": WHERE}})
}

#[tokio::test]
async fn a_partners_system_tells_that_an_order_is_prepared_and_may_repeat_it() {
    let shop = Shop::open().await;
    let machine = Machine::of_a_new_partner(&shop).await;
    let order = machine.confirmed_order().await;
    let first = machine.says("msg_1", &is_ready(order)).await;
    assert_eq!(
        (first.status.as_u16(), &first.body),
        (200, &json!({"received": true})),
        "{first:#?}"
    );
    assert_eq!(first.position(), shop.log_end().await);
    let recorded = shop.log().await.pop().unwrap();
    assert_eq!(
        (recorded.event_type.as_str(), recorded.aggregate_id()),
        ("order.ready", Some(order))
    );
    assert_eq!(
        recorded.metadata.actor.as_str(),
        format!("partner:{}", machine.partner)
    );
    assert_eq!(recorded.metadata.correlation_id, order);

    let message = is_ready(order);
    let repeats = (0..8).map(|number| {
        let id = ["msg_1", "msg_2"][number % 2];
        let (machine, message) = (&machine, &message);
        async move { machine.says(id, message).await }
    });
    for reply in join_all(repeats).await {
        assert_eq!(
            (reply.status.as_u16(), reply.position()),
            (200, first.position())
        );
    }
    assert_eq!(shop.log_end().await, first.position());
}

#[tokio::test]
async fn a_message_that_the_partner_did_not_sign_is_refused_and_leaves_nothing() {
    let shop = Shop::open().await;
    let machine = Machine::of_a_new_partner(&shop).await;
    let other = Machine::of_a_new_partner(&shop).await;
    let order = machine.confirmed_order().await;
    let end = shop.log_end().await;
    let (at, body) = (shop.clock.now().as_second(), is_ready(order).to_string());
    let good = machine.sign("msg_1", at, &body);
    let late = at - 301;
    for (id, at, signature, body) in [
        ("msg_1", at, String::new(), body.clone()),
        ("msg_1", at, "v1,nonsense".into(), body.clone()),
        ("msg_1", at, other.sign("msg_1", at, &body), body.clone()),
        ("msg_2", at, good.clone(), body.clone()),
        ("msg_1", at + 1, good.clone(), body.clone()),
        ("msg_1", at, good.clone(), body.replace("Main", "Side")),
        (
            "msg_1",
            late,
            machine.sign("msg_1", late, &body),
            body.clone(),
        ),
    ] {
        let reply = machine
            .send(machine.partner, id, at, &signature, &body)
            .await;
        reply.is_problem(400, "signature_invalid");
    }
    let path = format!("/v1/webhooks/partners/{}", machine.partner);
    let with_a_token = shop.admin(Method::POST, &path).json(&is_ready(order));
    with_a_token
        .send()
        .await
        .is_problem(400, "signature_invalid");
    let nobody = machine
        .send(Uuid::now_v7(), "msg_1", at, &good, &body)
        .await;
    nobody.is_problem(404, "not_found");
    assert_eq!(shop.log_end().await, end);
}

#[tokio::test]
async fn a_message_that_somebody_caught_is_good_for_five_minutes_and_signed_anew_it_is_the_same_again()
 {
    let shop = Shop::open().await;
    let machine = Machine::of_a_new_partner(&shop).await;
    let order = machine.confirmed_order().await;
    let (at, body) = (shop.clock.now().as_second(), is_ready(order).to_string());
    let signature = machine.sign("msg_1", at, &body);
    let caught = || machine.send(machine.partner, "msg_1", at, &signature, &body);
    let first = caught().await;
    assert_eq!(first.status, 200, "{first:#?}");
    shop.clock.advance(Duration::from_secs(299));
    let again = caught().await;
    assert_eq!(
        (again.status.as_u16(), again.position()),
        (200, first.position())
    );
    shop.clock.advance(Duration::from_secs(2));
    caught().await.is_problem(400, "signature_invalid");
    let anew = machine.says("msg_1", &is_ready(order)).await;
    assert_eq!(
        (anew.status.as_u16(), anew.position()),
        (200, first.position())
    );
    // Dated ahead, it would be good for as long as its writer likes.
    let ahead = shop.clock.now().as_second() + 301;
    let signature = machine.sign("msg_2", ahead, &body);
    let reply = machine
        .send(machine.partner, "msg_2", ahead, &signature, &body)
        .await;
    reply.is_problem(400, "signature_invalid");
    assert_eq!(shop.log_end().await, first.position());
}

#[tokio::test]
async fn a_partner_speaks_of_his_own_orders_only() {
    let shop = Shop::open().await;
    let machine = Machine::of_a_new_partner(&shop).await;
    let other = Machine::of_a_new_partner(&shop).await;
    let order = machine.confirmed_order().await;
    let end = shop.log_end().await;
    for order in [order, Uuid::now_v7()] {
        let reply = other.says("msg_1", &is_ready(order)).await;
        reply.is_problem(404, "not_found");
    }
    assert_eq!(shop.log_end().await, end);
}

#[tokio::test]
async fn messages_of_other_types_are_answered_and_forgotten_and_nonsense_is_not() {
    let shop = Shop::open().await;
    let machine = Machine::of_a_new_partner(&shop).await;
    let end = shop.log_end().await;
    let other = json!({"type": "order.late", "data": {"order_id": Uuid::now_v7()}});
    let reply = machine.says("msg_1", &other).await;
    assert_eq!(reply.status, 200, "{reply:#?}");
    assert!(reply.headers.get("waybill-position").is_none());
    for bad in [
        json!([1]),
        json!({"data": {}}),
        json!({"type": "order.ready", "data": {"order_id": "o-1", "pickup_address": WHERE}}),
    ] {
        let reply = machine.says("msg_2", &bad).await;
        reply.is_problem(400, "unreadable_event");
    }
    let nowhere =
        json!({"type": "order.ready", "data": {"order_id": Uuid::now_v7(), "pickup_address": " "}});
    let reply = machine.says("msg_3", &nowhere).await;
    reply.is_problem(422, "invalid");
    reply.names("/data/pickup_address", "required");
    assert_eq!(shop.log_end().await, end);
}

#[tokio::test]
async fn a_message_about_an_order_that_is_not_paid_is_refused_until_it_is() {
    let sale = Sale::placed().await;
    let secret = sale
        .shop
        .vault
        .get_secret("partner_webhook", sale.partner)
        .await
        .unwrap()
        .unwrap();
    let machine = Machine {
        shop: &sale.shop,
        partner: sale.partner,
        secret: secrecy::ExposeSecret::expose_secret(&secret).to_owned(),
    };
    let message = is_ready(sale.order);
    let early = machine.says("msg_1", &message).await;
    early.is_problem(409, "not_confirmed");
    saga::authorised(&sale.shop, sale.order).await;
    saga::captured(&sale.shop, sale.order).await;
    assert_eq!(machine.says("msg_1", &message).await.status, 200);
}

/// Between warnings the stock is refilled or the threshold lowered; orders while it is low warn nobody again.
#[tokio::test]
async fn a_stock_that_runs_low_is_told_once_for_each_time_it_does() {
    let shop = Shop::open().await;
    let partner = shop.selling_partner().await;
    let mug = shop.offered_product(partner, 1999, 10).await;
    let path = format!("/v1/inventory/{mug}/threshold");
    let threshold = async |units: i64| {
        let body = json!({"low_stock_threshold": units});
        let set = shop.admin(Method::PUT, &path).json(&body).send().await;
        assert_eq!(set.status, 200, "{set:#?}");
    };
    let warnings = async || {
        let types = shop.types().await.into_iter();
        types.filter(|kind| kind == "inventory.ran_low").count()
    };
    let buy = async |quantity: u32| {
        let ada = Uuid::now_v7();
        let quote = shop.quote(ada, partner, mug, quantity).await;
        let order = shop.place(ada, "o", &by_card(quote)).await.id();
        saga::authorised(&shop, order).await;
        saga::captured(&shop, order).await;
    };
    threshold(5).await;
    buy(4).await; // 6 are left
    assert_eq!(warnings().await, 0);
    buy(1).await; // 5: the threshold
    assert_eq!(warnings().await, 1);
    buy(1).await;
    buy(1).await; // 3, still low
    assert_eq!(warnings().await, 1);
    shop.receive(mug, 1).await; // 4: more, and still low
    buy(1).await;
    assert_eq!(warnings().await, 1);
    shop.receive(mug, 4).await; // 7: not low any more
    buy(3).await; // 4
    assert_eq!(warnings().await, 2);
    threshold(2).await; // 4 is not low now
    buy(1).await; // 3
    assert_eq!(warnings().await, 2);
    threshold(3).await; // low by the threshold alone
    threshold(4).await; // and lower still
    assert_eq!(warnings().await, 3);
    buy(3).await; // nothing is left
    assert_eq!(warnings().await, 3);
}
