//! A shop with every kind of story moves house by the run-book: the same rows, the same sagas, the same answers, and
//! nobody is asked for anything a second time. Then life goes on where it was.

use std::collections::BTreeMap;

use event_schema::Subject;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Person, Shop, answer, within};

use crate::ground::{Ground, confirmed, names};
use crate::provider::Provider;

/// The orders of a day, by what became of them.
struct Stories {
    confirmed: String,
    /// Declined, sold out, called off, looked up after a time-out: they have ended as well.
    ended: Vec<String>,
    /// The customer has the page and has not paid.
    unpaid: String,
    /// Its refund was refused for good: a person has to see to it.
    stuck: String,
    /// The command that placed the first: its key and its body.
    placed: (String, Value),
}

impl Stories {
    fn all(&self) -> Vec<&str> {
        let ended = self.ended.iter().map(String::as_str);
        let named = [&self.confirmed, &self.unpaid, &self.stuck].map(String::as_str);
        ended.chain(named).collect()
    }
}

async fn places(person: &Person, key: &str, body: &Value) -> String {
    let order = person
        .request(Method::POST, "/v1/orders")
        .header("Idempotency-Key", key)
        .json(body);
    let order = answer(order).await.ok();
    order["order_id"].as_str().unwrap().to_owned()
}

async fn a_days_stories(shop: &mut Shop, provider: &Provider) -> Stories {
    let (partner, lamp, bell) = (
        shop.exported("PARTNER"),
        shop.exported("LAMP"),
        shop.exported("BELL"),
    );
    let customer = shop.customer();
    let quote = async |product: &str, quantity: u32| {
        let lines = json!([{"product_id": product, "quantity": quantity}]);
        customer.check(&partner, &lines).await.ok()["quote_id"].clone()
    };

    let card = |token: &str| json!({"method": "card", "token": token});
    let body = json!({"quote_id": quote(&lamp, 1).await, "payment": card("pm_card_visa")});
    let placed = ("first-order".to_owned(), body);
    let first = places(&customer, &placed.0, &placed.1).await;
    customer.order_becomes(&first, "confirmed").await;
    // The last bell is promised to three.
    let bells = [
        quote(&bell, 1).await,
        quote(&bell, 1).await,
        quote(&bell, 1).await,
    ];
    let [bought, sold_out, stuck] =
        bells.map(|quote| move |card: Value| json!({"quote_id": quote, "payment": card}));
    let mut ended = Vec::new();
    for (key, body, becomes) in [
        ("bought", bought(card("pm_card_visa")), "confirmed"),
        ("sold-out", sold_out(card("pm_card_visa")), "cancelled"),
    ] {
        let order = places(&customer, key, &body).await;
        customer.order_becomes(&order, becomes).await;
        ended.push(order);
    }
    for (card, becomes) in [
        ("pm_card_visa_chargeDeclined", "cancelled"),
        ("pm_waybill_timeout", "confirmed"),
    ] {
        let order = customer.order(&partner, &lamp, 1, card).await;
        customer.order_becomes(&order, becomes).await;
        ended.push(order);
    }
    let called_off = customer.order(&partner, &lamp, 1, "pm_waybill_slow").await;
    let path = format!("/v1/orders/{called_off}/cancel");
    customer.post(&path, &json!({})).await.ok();
    customer.order_becomes(&called_off, "cancelled").await;
    ended.push(called_off);

    // Sold out; before the money is let go somebody takes it by hand, and then the bank refuses to give it back.
    provider.drops("cancel", 3).await;
    let body = stuck(card("pm_waybill_refund_refused"));
    let stuck = places(&customer, "stuck", &body).await;
    provider.takes_by_hand(&stuck).await;

    let body = json!({"quote_id": quote(&lamp, 2).await, "payment": {"method": "checkout"}});
    let unpaid = places(&customer, "paid-later", &body).await;
    within("the customer can pay", || async {
        let shown = customer.get(&format!("/v1/orders/{unpaid}")).await.body;
        shown["payment"]["checkout_url"].is_string().then_some(())
    })
    .await;
    Stories {
        confirmed: first,
        ended,
        unpaid,
        stuck,
        placed,
    }
}

/// Everything that a house tells of its past, whoever is asked.
#[derive(Debug)]
struct Told {
    /// Every row of every read model, with every column.
    rows: BTreeMap<&'static str, Vec<Value>>,
    /// How far each projection has come, and by which event: what is not told of `read.checkpoint` is of the house.
    checkpoints: Vec<Value>,
    /// The bucket `saga_status`, value by value as the `nats` CLI shows it; but see [`without_since`].
    sagas: BTreeMap<String, Value>,
    /// The bucket `saga_attention`.
    attention: BTreeMap<String, String>,
    /// What the desk shows of each saga; without its owner, who is of the house.
    desk: BTreeMap<String, Value>,
    /// The log as admins read it, with the times.
    events: Vec<Value>,
    /// What the customer sees of each order and of its history.
    orders: Vec<Value>,
}

impl Told {
    /// Once every reader has come to the log's end and the buckets are written.
    async fn by(ground: &Ground, shop: &mut Shop, stories: &Stories) -> Self {
        ground.caught_up().await;
        let of = |status: &'static str| move |saga: &&Value| saga["status"] == status;
        let (sagas, attention) = within("the buckets are complete", || async {
            let sagas = ground.bucket("saga_status").await;
            let sagas: BTreeMap<String, Value> = sagas
                .into_iter()
                .map(|(key, text)| (key, without_since(serde_json::from_str(&text).unwrap())))
                .collect();
            let attention = ground.bucket("saga_attention").await;
            let open = sagas.values().filter(of("running")).count();
            let stuck = sagas.values().filter(of("needs_operator")).count();
            let mut complete = sagas.len() == stories.all().len()
                && (open, stuck) == (1, 1)
                && !attention.is_empty();
            for saga in sagas.values() {
                let id = saga["id"].as_str().unwrap().parse().unwrap();
                let history = Subject::history("fulfilment", id);
                complete &= saga["position"] == ground.end_of(history.as_str()).await;
            }
            complete.then_some((sagas, attention))
        })
        .await;
        let (admin, customer) = (shop.admin(), shop.customer());
        let (mut desk, mut orders) = (BTreeMap::new(), Vec::new());
        for order in stories.all() {
            let mut shown = ground.desk("saga.show", order).await;
            assert!(shown.as_object_mut().unwrap().remove("owner").is_some());
            desk.insert(order.to_owned(), without_since(shown));
            for path in [
                format!("/v1/orders/{order}"),
                format!("/v1/orders/{order}/history"),
            ] {
                orders.push(customer.get(&path).await.ok());
            }
        }
        Self {
            rows: ground.rows().await,
            checkpoints: ground.checkpoints().await,
            sagas,
            attention,
            desk,
            events: events(&admin).await,
            orders,
        }
    }

    fn placed_at(&self, order: &str) -> String {
        let mut events = self.events.iter();
        let placed = |event: &&Value| {
            event["event_type"] == "order.placed" && event["aggregate_id"] == order
        };
        let placed = events.find(placed).unwrap();
        placed["occurred_at"].as_str().unwrap().to_owned()
    }

    /// Whether the provider has told of its payment without being asked.
    fn was_called_back(&self, order: &str) -> bool {
        let told = |event: &Value| {
            event["event_type"] == "payment.callback_recorded" && event["aggregate_id"] == order
        };
        self.events.iter().any(told)
    }

    /// One by one, so that a difference is small enough to be read.
    #[track_caller]
    fn assert_same(&self, before: &Self) {
        for (table, rows) in &self.rows {
            assert_eq!(rows.len(), before.rows[table].len(), "rows of {table}");
            for (row, before) in rows.iter().zip(&before.rows[table]) {
                assert_eq!(row, before, "{table}");
            }
        }
        for (saga, before) in self.sagas.iter().zip(&before.sagas) {
            assert_eq!(saga, before);
        }
        assert_eq!(self.attention, before.attention);
        assert_eq!(self.desk, before.desk);
        assert_eq!(self.events.len(), before.events.len());
        for (event, before) in self.events.iter().zip(&before.events) {
            assert_eq!(event, before);
        }
        assert_eq!(self.orders, before.orders);
        assert_eq!(self.checkpoints, before.checkpoints);
    }
}

/// A saga as it is told; of one that is under way without the time since when it is. That is no part of its history: it
/// is the time of the event by which the bucket first showed it so, and a bucket that is written anew begins with the last.
fn without_since(mut saga: Value) -> Value {
    if saga["status"] == "running" {
        let since = saga.as_object_mut().unwrap().remove("since");
        assert!(since.is_some(), "{saga}");
    }
    saga
}

async fn events(admin: &Person) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or(json!(0), |last| last["position"].clone());
        let page = format!("/v1/events?limit=100&after={after}");
        let page = admin.get(&page).await.ok()["data"].clone();
        let Value::Array(page) = page else {
            panic!("{page}");
        };
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// What the tool for operators says of an order as it was before it was confirmed.
async fn as_it_was(ground: &Ground, order: &str, moment: &str) -> Value {
    let show = ["events", "show", "order", order, "--at", moment, "--json"];
    let was: Value = serde_json::from_str(&ground.operator(&show).await).unwrap();
    assert!(was["state"].get("PendingPayment").is_some(), "{was}");
    was
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_has_moved_house_is_the_same_shop_and_fires_nothing() {
    // Steps 1 and 2: the old shop is stopped, its log is carried away.
    let old = Ground::new().await;
    let mut shop = old.shop().await;
    let provider = Provider::of(&old, &shop);
    let stories = a_days_stories(&mut shop, &provider).await;
    let before = Told::by(&old, &mut shop, &stories).await;
    let end = old.log_end().await;
    let placed_at = before.placed_at(&stories.confirmed);
    let was = as_it_was(&old, &stories.confirmed, &placed_at).await;
    let customer_token = shop.exported("CUSTOMER");
    shop.stop().await;
    let (asked, books) = (provider.asked().await, provider.books().await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.jsonl").display().to_string();
    let said = old.operator(&["events", "export", "--out", &file]).await;
    assert!(said.contains(&format!("{end} messages")), "{said}");
    let (done, said) = old.tries(&["events", "import", "--in", &file]).await;
    assert!(!done && said.contains("the log is not empty"), "{said}");

    // Steps 3 to 7: a new house is prepared and furnished, the log is brought in, the shop opens.
    let new = old.moved_to().await;
    let said = new.operator(&["events", "import", "--in", &file]).await;
    assert!(said.contains(&format!("the log ends at {end}")), "{said}");
    let mut shop = new.shop().await;
    Told::by(&new, &mut shop, &stories)
        .await
        .assert_same(&before);
    for name in names() {
        let verified = new.operator(&["projections", "verify", name]).await;
        assert!(verified.contains("is what the log says"), "{verified}");
    }
    assert_eq!(
        as_it_was(&new, &stories.confirmed, &placed_at).await,
        was,
        "as it was then, not as it was when it moved"
    );

    // Nobody was asked to do anything. What may be asked is where a payment stands that can still change: that of the
    // customer who has not paid, of him whose refund was refused, and of whoever's order was undone while a callback told
    // of its payment. Who knows only the log cannot tell whether anybody has looked since.
    let provider = Provider::of(&new, &shop);
    let asked_now = provider.asked().await;
    assert_eq!(asked_now[..asked.len()], asked);
    for call in &asked_now[asked.len()..] {
        assert_eq!(call["method"], "GET", "{call}");
        // A search by our reference is not noted under the order.
        let Some(about) = call["order_id"].as_str() else {
            continue;
        };
        let open = [&stories.unpaid, &stories.stuck]
            .iter()
            .any(|order| *order == about);
        let undone = before.desk[about]["status"] == "compensated" && before.was_called_back(about);
        assert!(open || undone, "{call}");
    }
    assert_eq!(provider.books().await, books);
    assert_eq!(new.log_end().await, end, "and nothing was recorded");

    // Who was somebody there is somebody here, and what was ordered there is not ordered again.
    let customer = Person::new(&shop.url(), &customer_token);
    let (key, body) = &stories.placed;
    assert_eq!(places(&customer, key, body).await, stories.confirmed);
    // The open saga goes on when the customer pays, the stuck one when the person has decided, new ones from the start.
    let unpaid = customer
        .get(&format!("/v1/orders/{}", stories.unpaid))
        .await;
    let page = unpaid.ok()["payment"]["checkout_url"].clone();
    provider.is_paid(page.as_str().unwrap()).await;
    customer.order_becomes(&stories.unpaid, "confirmed").await;
    let resolve = format!("{} refund ok transfer-4711", stories.stuck);
    let told = new.desk("saga.resolve", &resolve).await;
    assert_eq!(told["saga"]["status"], "compensated", "{told}");
    let ended = customer.order_becomes(&stories.stuck, "cancelled").await;
    assert_eq!(ended["status_reason"], "out_of_stock");
    let (partner, lamp) = (shop.exported("PARTNER"), shop.exported("LAMP"));
    confirmed(&customer, &partner, &lamp).await;
    new.caught_up().await;
    for name in names() {
        let verified = new.operator(&["projections", "verify", name]).await;
        assert!(verified.contains("is what the log says"), "{verified}");
    }
    shop.stop().await;
}
