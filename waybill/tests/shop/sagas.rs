//! Operators and their sagas over HTTP: every command with a saga that it fits, in processes of their own.

use dev_servers::{NatsServer, Postgres};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Answer, Deployment, Layout, Market, Person, Role, Servers, within};
use tokio::task::spawn_blocking;

use crate::WAYBILL;

const PRICE: i64 = 1000;
/// The provider refuses to give money of this card back, for good.
const CARD: &str = "pm_waybill_refund_refused";

/// A shop in processes of their own; they end before their servers.
struct House {
    deployment: Deployment,
    market: Market,
    buyer: Person,
    _nats: NatsServer,
    _postgres: Postgres,
}

impl House {
    async fn open() -> Self {
        let nats = spawn_blocking(|| NatsServer::temporary().unwrap());
        let postgres = spawn_blocking(|| Postgres::temporary().unwrap());
        let (nats, postgres) = (nats.await.unwrap(), postgres.await.unwrap());
        let servers = Servers {
            nats: nats.url(),
            database: postgres.url(),
            sandbox_database: postgres.fresh_database().await.unwrap(),
        };
        let deployment = Deployment::start(WAYBILL, servers, Layout::single()).await;
        let market = Market::open(&deployment).await;
        let buyer = market.customer(&deployment).await;
        Self {
            deployment,
            market,
            buyer,
            _nats: nats,
            _postgres: postgres,
        }
    }

    async fn provider(&self, method: Method, path: &str, body: &Value) {
        let url = format!("{}{path}", self.deployment.sandbox_url());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let told = client.request(method, url).json(body).send().await.unwrap();
        assert!(told.status().is_success(), "{told:?}");
    }

    /// How often the provider was asked for something about an order.
    async fn asked(&self, order: &str, operation: &str) -> usize {
        let ledger = self.deployment.ledger(order).await;
        let calls = ledger["calls"].as_array().unwrap().iter();
        calls.filter(|call| call["operation"] == operation).count()
    }

    /// An order that is called off because its last unit was gone, whose money was taken in the provider's dashboard
    /// before it was let go, and whose refund the provider refuses for good.
    async fn stuck(&self) -> String {
        let (partner, admin) = (&self.market.partner, &self.market.admin);
        let product = self.market.product(PRICE, 1).await.id;
        let lines = json!([{"product_id": product, "quantity": 1}]);
        let quote = self.buyer.check(partner, &lines).await.ok();
        let gone = json!({"quantity": -1, "reason": "broken"});
        let path = format!("/v1/inventory/{product}/adjust");
        admin.post(&path, &gone).await.ok();
        let fault = json!({"operation": "cancel", "kind": "drop_before", "times": 100});
        self.provider(Method::POST, "/sandbox/faults", &fault).await;
        let body =
            json!({"quote_id": quote["quote_id"], "payment": {"method": "card", "token": CARD}});
        let order = self.buyer.post("/v1/orders", &body).await.ok();
        let order = order["order_id"].as_str().unwrap().to_owned();
        within("the void is under way", || async {
            (self.asked(&order, "cancel").await > 0).then_some(())
        })
        .await;
        let by_hand = format!("/sandbox/capture?order_id={order}");
        self.provider(Method::POST, &by_hand, &Value::Null).await;
        self.provider(Method::DELETE, "/sandbox/faults", &Value::Null)
            .await;
        let saga = self.becomes(&order, "needs_operator", 0).await;
        assert_eq!(saga["cause"], "refund_refused", "{saga}");
        order
    }

    /// The saga as it is shown once it has the status, later than a position.
    async fn becomes(&self, order: &str, status: &str, after: u64) -> Value {
        let path = format!("/v1/sagas/{order}");
        within(&format!("the saga becomes {status}"), || async {
            let shown = self.market.admin.get(&path).await;
            let saga = shown.status.is_success().then_some(shown.body)?;
            (saga["status"] == status && saga["position"].as_u64()? > after).then_some(saga)
        })
        .await
    }

    /// A command under a key.
    async fn command(&self, verb: &str, order: &str, key: &str, body: &Value) -> Answer {
        self.by(&self.market.admin, verb, order, key, body).await
    }

    async fn by(&self, who: &Person, verb: &str, order: &str, key: &str, body: &Value) -> Answer {
        let path = format!("/v1/sagas/{order}/{verb}");
        let request = who
            .request(Method::POST, &path)
            .header("Idempotency-Key", key)
            .json(body);
        testkit::answer(request).await
    }

    /// What the order's history says about the commands of operators, newest last.
    async fn commanded(&self, order: &str) -> Vec<Value> {
        // A history's bucket is the end of its id.
        let bucket = &order[order.len() - 2..];
        let path = format!("/v1/events?subject=evt.fulfilment.{bucket}.{order}&limit=100");
        let events = self.market.admin.get(&path).await.ok();
        let events = events["data"].as_array().unwrap().iter();
        events
            .filter(|event| event["event_type"] == "fulfilment.operator_commanded")
            .cloned()
            .collect()
    }
}

fn because(reason: &str) -> Value {
    json!({"reason": reason})
}

fn resolve() -> Value {
    json!({"step": "refund", "outcome": "ok", "evidence": "re_77 in the dashboard — seen", "reason": "ticket 4711"})
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_ends_a_stuck_saga_as_it_promises_and_acts_once() {
    let house = House::open().await;

    // Seen over HTTP: listed, and told to the customer as what it is.
    let order = house.stuck().await;
    let path = "/v1/sagas?status=needs_operator&step=refund";
    let listed = house.market.admin.get(path).await.ok();
    assert_eq!(listed["data"][0]["id"], order, "{listed}");
    let saga = house.becomes(&order, "needs_operator", 0).await;
    assert_eq!(saga["money"]["captured"]["amount"], PRICE, "{saga}");
    assert_eq!(saga["money"]["refunded"]["amount"], 0, "{saga}");
    let seen = house.buyer.get(&format!("/v1/orders/{order}")).await.ok();
    assert_eq!(seen["payment"]["status"], "refund_pending", "{seen}");

    // A dry run changes nothing.
    let mut wanted = resolve();
    wanted["dry_run"] = Value::Bool(true);
    let dry = house.command("resolve", &order, "k-1", &wanted).await;
    assert_eq!((dry.status.as_u16(), dry.position), (200, None), "{dry:?}");
    assert_eq!(dry.body["dry_run"], true);
    assert!(
        dry.body["would"][0]
            .as_str()
            .unwrap()
            .contains("refund is done"),
        "{dry:?}"
    );
    assert!(house.commanded(&order).await.is_empty());

    // Retry: the effect once more under the same id, however often it is sent.
    let asked = house.asked(&order, "refund").await;
    let retry = because("the bank works again");
    let first = house.command("retry", &order, "k-2", &retry).await;
    assert_eq!(first.status.as_u16(), 202, "{first:?}");
    let after = first.position.unwrap();
    let again = house.becomes(&order, "needs_operator", after).await;
    let effect = |saga: &Value| {
        let mut steps = saga["steps"].as_array().unwrap().iter();
        let refund = steps.rfind(|step| step["step"] == "refund").unwrap();
        refund["effect_id"].clone()
    };
    assert_eq!(effect(&again), effect(&saga));
    let repeat = house.command("retry", &order, "k-2", &retry).await;
    assert_eq!(
        (repeat.status.as_u16(), repeat.position),
        (202, first.position)
    );
    assert_eq!(repeat.body["repeated"], true, "{repeat:?}");
    assert_eq!(repeat.body["command_id"], first.body["command_id"]);
    assert_eq!(house.asked(&order, "refund").await, asked + 1);
    house
        .command("retry", &order, "k-2", &because("another reason"))
        .await
        .refused(422, "idempotency_key_reused");

    // Resolve: it goes on as if the provider had said it.
    let told = house.command("resolve", &order, "k-1", &resolve()).await;
    assert_eq!(told.status.as_u16(), 202, "{told:?}");
    assert_eq!(told.body["saga"]["status"], "compensated", "{told:?}");
    let saga = house.becomes(&order, "compensated", 0).await;
    assert_eq!(saga["money"]["refunded"]["amount"], PRICE, "{saga}");
    let seen = house.buyer.order_becomes(&order, "cancelled").await;
    assert_eq!(seen["payment"]["status"], "refunded", "{seen}");
    let recorded = house.commanded(&order).await;
    let who = recorded[1]["actor"].as_str().unwrap();
    assert!(who.starts_with("admin:"), "{recorded:?}");
    assert_eq!(
        recorded[1]["data"]["evidence"], "re_77 in the dashboard — seen",
        "{recorded:?}"
    );
    assert_eq!(recorded.len(), 2, "{recorded:?}");

    // Skip and close.
    let settled = house.stuck().await;
    let skip =
        json!({"order_id": settled, "step": "refund", "reason": "paid back by bank transfer 8831"});
    let told = house.command("skip", &settled, "k-3", &skip).await;
    assert_eq!(told.body["saga"]["status"], "closed", "{told:?}");
    house.becomes(&settled, "closed", 0).await;
    let left = house.stuck().await;
    let told = house
        .command("close", &left, "k-4", &because("written off"))
        .await;
    assert_eq!(told.body["saga"]["left_due"], json!(["refund"]), "{told:?}");
    house.becomes(&left, "closed", 0).await;

    // Nothing revives what has ended.
    for (verb, ended) in [("retry", &order), ("close", &settled), ("abort", &left)] {
        house
            .command(verb, ended, "late", &because("too late"))
            .await
            .refused(409, "already_ended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_ordered_is_told_and_of_two_operators_one_wins() {
    let house = House::open().await;
    let order = house.stuck().await;
    let why = because("x");

    let customer = house.by(&house.buyer, "close", &order, "k", &why).await;
    customer.refused(403, "forbidden");
    let unknown = uuid::Uuid::now_v7().to_string();
    let told = house.command("close", &unknown, "k", &why).await;
    told.refused(404, "not_found");
    let other = json!({"step": "capture", "reason": "x"});
    let told = house.command("skip", &order, "k", &other).await;
    told.refused(409, "other_step");
    let told = house.command("abort", &order, "k", &why).await;
    told.refused(409, "turns_back_already");
    let dry = json!({"reason": "x", "dry_run": true});
    let told = house.command("abort", &order, "k", &dry).await;
    told.refused(409, "turns_back_already");

    // Before the point of no return an order can be called off by an operator, and after it cannot.
    let product = house.market.product(PRICE, 5).await.id;
    let lines = json!([{"product_id": product, "quantity": 1}]);
    let partner = &house.market.partner;
    let quote = house.buyer.check(partner, &lines).await.ok();
    let checkout = json!({"quote_id": quote["quote_id"], "payment": {"method": "checkout"}});
    let waiting = house.buyer.post("/v1/orders", &checkout).await.ok();
    let waiting = waiting["order_id"].as_str().unwrap();
    house.becomes(waiting, "running", 0).await;
    let told = house.command("retry", waiting, "k", &why).await;
    told.refused(409, "not_waiting");
    let told = house.command("abort", waiting, "k", &why).await;
    assert_eq!(told.status.as_u16(), 202, "{told:?}");
    let seen = house.buyer.order_becomes(waiting, "cancelled").await;
    assert_eq!(seen["status_reason"], "operator_aborted", "{seen}");
    let paid = house
        .buyer
        .order(partner, &product, 1, "pm_card_visa")
        .await;
    house.becomes(&paid, "completed", 0).await;
    house
        .command("abort", &paid, "k-paid", &why)
        .await
        .refused(409, "too_late");

    // Two operators, two keys, the same moment.
    let (ada, bob) = (
        house.deployment.person("admin", Some(&unknown)).await,
        &house.market.admin,
    );
    let (close, resolve) = (because("written off"), resolve());
    let (one, two) = tokio::join!(
        house.by(&ada, "close", &order, "same", &close),
        house.by(bob, "resolve", &order, "same", &resolve),
    );
    let (won, lost) = if one.status.is_success() {
        (one, two)
    } else {
        (two, one)
    };
    assert_eq!(won.status.as_u16(), 202, "{won:?}");
    assert_eq!(lost.status.as_u16(), 409, "{lost:?}");
    assert!(
        ["not_waiting", "already_ended"].contains(&lost.body["code"].as_str().unwrap()),
        "{lost:?}"
    );
    let ending = won.body["saga"]["status"].as_str().unwrap();
    house.becomes(&order, ending, 0).await;
    assert_eq!(house.commanded(&order).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_command_survives_a_kill_and_one_that_nobody_answered_is_repeated_under_its_key()
 {
    let mut house = House::open().await;
    let order = house.stuck().await;
    let asked = house.asked(&order, "refund").await;
    let again = because("the bank works again");
    let told = house.command("retry", &order, "k-1", &again).await;
    house.deployment.kill9(Role::SagaOrchestrator, 0).await;
    assert_eq!(told.status.as_u16(), 202, "{told:?}");
    let accepted = told.position.unwrap();

    // Nobody at the desk: nothing happens, and that is what is said.
    let told = house.command("close", &order, "k-2", &because("x")).await;
    assert!(told.retry_after.is_some(), "{told:?}");
    told.refused(503, "orchestrator_unavailable");

    house.deployment.again(Role::SagaOrchestrator, 0);
    let saga = house.becomes(&order, "needs_operator", accepted).await;
    assert!(house.asked(&order, "refund").await > asked, "{saga}");

    // Somebody at the desk who does not answer: nobody knows, until the same command is sent again.
    house.deployment.freeze(Role::SagaOrchestrator, 0).await;
    let told = house.command("resolve", &order, "k-3", &resolve()).await;
    house.deployment.wake(Role::SagaOrchestrator, 0).await;
    assert!(told.retry_after.is_some(), "{told:?}");
    told.refused(503, "timed_out");
    let told = within("the desk answers again", || async {
        let told = house.command("resolve", &order, "k-3", &resolve()).await;
        told.status.is_success().then_some(told)
    })
    .await;
    assert_eq!(told.body["saga"]["status"], "compensated", "{told:?}");
    house.becomes(&order, "compensated", 0).await;
    let recorded = house.commanded(&order).await;
    assert_eq!(
        recorded.len(),
        2,
        "the retry, and one resolve: {recorded:?}"
    );
}
