//! A shop with two processes of each role, its provider, and somebody who carries the provider's post.

use std::sync::Arc;

use dev_servers::{NatsServer, Postgres};
use domain::payment;
use event_schema::{EventSet, Position, Recorded, Timestamp, stray_callback};
use event_store::{EventStore, JetStreamStore};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use testkit::{Answer, Deployment, Layout, Market, Person, Product, Role, Servers, within};
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use crate::WAYBILL;
use crate::postbox::Postbox;

/// One deployment at a time.
static TURN: Mutex<()> = Mutex::const_new(());

const READ_EVENTS_MAX: usize = 100_000;
const PRICE: i64 = 2_100;
const API_KEY: &str = "sk_test_1234";
const SECRET: &str = "whsec_1234";
const PATH: &str = "/v1/webhooks/payments/stripe";

pub struct Stage {
    pub deployment: Deployment,
    pub market: Market,
    pub buyer: Person,
    pub product: Product,
    pub postbox: Postbox,
    pub broker: Arc<NatsServer>,
    http: Client,
    _postgres: Postgres,
    _turn: MutexGuard<'static, ()>,
}

/// A provider's event, new each time, as it would make it now.
pub fn event(kind: &str, object: &Value) -> Value {
    json!({
        "id": format!("evt_{}", Uuid::now_v7().simple()), "object": "event", "type": kind,
        "created": Timestamp::now().as_second(), "data": {"object": object},
    })
}

pub fn event_id(event: &Value) -> &str {
    event["id"].as_str().unwrap()
}

pub fn signed_at(secret: &str, at: i64, body: &str) -> String {
    payment_sandbox::signature(secret, at, body)
}

pub fn signed(body: &str) -> String {
    signed_at(SECRET, Timestamp::now().as_second(), body)
}

impl Stage {
    pub async fn open() -> Self {
        let turn = TURN.lock().await;
        let broker = blocking(|| NatsServer::temporary().unwrap()).await;
        let postgres = blocking(|| Postgres::temporary().unwrap()).await;
        let postbox = Postbox::open().await;
        let servers = Servers {
            nats: broker.url(),
            database: postgres.url(),
            sandbox_database: dev_servers::fresh_database().await.unwrap(),
        };
        let layout = Layout::twice()
            .with("WAYBILL_SANDBOX_WEBHOOK_URL", &postbox.url)
            .with("WAYBILL_PAYMENT_ANSWER_DEADLINE", "4s");
        let deployment = Deployment::start(WAYBILL, servers, layout).await;
        let market = Market::open(&deployment).await;
        let product = market.product(PRICE, 1_000).await;
        let buyer = market.customer(&deployment).await;
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            deployment,
            market,
            buyer,
            product,
            postbox,
            broker: Arc::new(broker),
            http,
            _postgres: postgres,
            _turn: turn,
        }
    }

    /// An order paid by card.
    pub async fn buys(&self, card: &str) -> String {
        let (partner, product) = (&self.market.partner, &self.product.id);
        self.buyer.buys(partner, product, 1, card).await
    }

    /// An order that waits for its customer on the provider's page, and the page.
    pub async fn checkout(&self) -> (String, String) {
        let (partner, product) = (&self.market.partner, &self.product.id);
        let quote = self.buyer.quote(partner, product, 1).await.ok();
        let body = json!({"quote_id": quote["quote_id"], "payment": {"method": "checkout"}});
        let order = self.buyer.post("/v1/orders", &body).await.ok();
        let order = order["order_id"].as_str().unwrap().to_owned();
        let page = within("the page is there", || async {
            let order = self.order(&order).await?;
            Some(order["payment"]["checkout_url"].as_str()?.to_owned())
        })
        .await;
        (order, page)
    }

    /// The order as it is shown now.
    pub async fn order(&self, order: &str) -> Option<Value> {
        let answer = self.market.admin.get(&format!("/v1/orders/{order}")).await;
        answer.status.is_success().then_some(answer.body)
    }

    /// The customer pays on the page.
    pub async fn pays(&self, page: &str) {
        let form = [("token", "pm_card_visa")];
        let answer = self.http.post(page).form(&form).send().await.unwrap();
        assert!(answer.status().is_redirection(), "{answer:?}");
    }

    /// Sends a body to one of the two processes, with this signature.
    pub async fn send(&self, replica: usize, body: &str, signature: Option<&str>) -> Answer {
        let url = format!("{}{PATH}", self.deployment.url(Role::CommandApi, replica));
        let mut request = self.http.request(Method::POST, url);
        request = request.header("content-type", "application/json");
        if let Some(signature) = signature {
            request = request.header("stripe-signature", signature);
        }
        testkit::answer(request.body(body.to_owned())).await
    }

    /// Delivers a provider's event to one of the two processes, signed now, as the provider does each time.
    pub async fn deliver(&self, replica: usize, event: &Value) -> Answer {
        let body = event.to_string();
        self.send(replica, &body, Some(&signed(&body))).await
    }

    /// Delivers it, and it is accepted.
    pub async fn tells(&self, replica: usize, event: &Value) -> Answer {
        let answer = self.deliver(replica, event).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    /// Somebody acts on an order's payment in the provider's dashboard, past the shop.
    pub async fn by_hand(&self, order: &str, verb: &str, form: &[(&str, &str)]) {
        let ledger = self.deployment.ledger(order).await;
        let intent = ledger["intents"][0]["id"].as_str().unwrap();
        let sandbox = self.deployment.sandbox_url();
        let url = format!("{sandbox}/v1/payment_intents/{intent}/{verb}");
        let request = self.http.post(url).bearer_auth(API_KEY).form(form);
        let answer = request.send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{}", answer.text().await.unwrap());
    }

    /// The next call of an operation fails like this.
    pub async fn fault(&self, operation: &str, kind: &str, delay_ms: u32) {
        let url = format!("{}/sandbox/faults", self.deployment.sandbox_url());
        let fault = json!({"operation": operation, "kind": kind, "delay_ms": delay_ms});
        let answer = self.http.post(url).json(&fault).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// How many calls of one operation about an order have reached the provider.
    pub async fn calls(&self, order: &str, operations: &[&str]) -> usize {
        let ledger = self.deployment.ledger(order).await;
        let calls = ledger["calls"].as_array().unwrap().iter();
        let named = |call: &&Value| operations.iter().any(|name| call["operation"] == *name);
        calls.filter(named).count()
    }

    /// Paid once and confirmed.
    pub async fn is_paid_once(&self, order: &str) {
        let shown = self.market.admin.order_ends(order).await;
        assert_eq!(shown["status"], "confirmed", "{shown}");
        self.costs(order, PRICE, Some(1)).await;
    }

    /// What the provider keeps of an order; nothing is set aside.
    pub async fn costs(&self, order: &str, kept: i64, charges: Option<i64>) {
        let ledger = self.deployment.ledger(order).await;
        let totals = &ledger["totals"];
        assert_eq!(totals["kept"].as_i64(), Some(kept), "{ledger:#}");
        assert_eq!(totals["held"].as_i64(), Some(0), "{ledger:#}");
        if let Some(charges) = charges {
            let captured = totals["times_captured"].as_i64();
            assert_eq!(captured, Some(charges), "{ledger:#}");
        }
    }

    async fn log(&self) -> JetStreamStore {
        within("the log can be opened", || async {
            let client = async_nats::connect(self.broker.url()).await.ok()?;
            JetStreamStore::connect(client).await.ok()
        })
        .await
    }

    /// Where the log ends.
    pub async fn log_end(&self) -> Position {
        self.log().await.end().await.unwrap().position
    }

    /// Events of an aggregate's kind, all of them.
    pub async fn events(&self, pattern: &str) -> Vec<Recorded> {
        let log = self.log().await;
        let read = log.read(Position(0), READ_EVENTS_MAX, Some(pattern)).await;
        read.unwrap()
    }

    /// How often a callback is recorded with the payment that it names.
    pub async fn recorded(&self, event: &Value) -> usize {
        let events = self.events("evt.payment.>").await;
        let is_it = |recorded: &&Recorded| match decoded::<payment::Event>(recorded) {
            payment::Event::CallbackRecorded(told) => told.provider_event_id == event_id(event),
            _ => false,
        };
        events.iter().filter(is_it).count()
    }

    /// The callback as it is kept when it is about no order of ours.
    pub async fn strays(&self, event: &Value) -> Vec<stray_callback::Received> {
        let events = self.events("evt.stray_callback.>").await;
        let strays = events.iter().map(|recorded| {
            let stray_callback::Event::Received(received) = decoded(recorded);
            received
        });
        let strays = strays.filter(|stray| stray.provider_event_id == event_id(event));
        strays.collect()
    }

    /// The kinds of the events of an order's saga.
    pub async fn saga(&self, order: &str) -> Vec<String> {
        let events = self.events(&format!("evt.fulfilment.*.{order}")).await;
        let kinds = events.iter().map(|event| event.event_type.to_string());
        kinds.collect()
    }
}

fn decoded<E: EventSet>(event: &Recorded) -> E {
    E::decode(&event.event_type, event.schema_version, &event.payload).unwrap()
}

/// Starting and stopping servers blocks.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}
