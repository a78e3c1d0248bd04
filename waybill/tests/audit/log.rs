//! A log on a broker of the test's own, written as the services write it: by the domain's decisions, a command at a
//! time. And as nobody should write it.

use std::collections::BTreeMap;
use std::sync::Arc;

use dev_servers::NatsServer;
use domain::fulfilment::{Answer, Decision, Fulfilment, Input, Policy, World, react, start};
use domain::inventory::{self, Inventory};
use domain::order::{self, Order};
use domain::payment::{self, Payment};
use event_schema::ids::{CommandId, CustomerId, EffectId, OrderId, PartnerId, ProductId, QuoteId};
use event_schema::order::{Line, PaymentMethod, Placed};
use event_schema::{
    Actor, Currency, Decider, EventSet, Metadata, Money, NewEvent, PersonalKey, Sealed, Subject,
    Timestamp, Version, envelope,
};
use event_store::{Executor, Freshness, JetStreamStore, Stop};
use serde_json::Value;
use tokio::process::Command;
use uuid::Uuid;

use crate::WAYBILL;

const UNIT_PRICE: i64 = 2100;

pub struct Log {
    pub server: NatsServer,
    client: async_nats::Client,
    executor: Executor,
}

/// What the program said, and its exit code.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Log {
    pub async fn new() -> Self {
        let server = tokio::task::spawn_blocking(NatsServer::temporary)
            .await
            .unwrap()
            .unwrap();
        let client = async_nats::connect(server.url()).await.unwrap();
        event_store::topology::migrate(&client, 1).await.unwrap();
        let store = JetStreamStore::connect(client.clone()).await.unwrap();
        Self {
            server,
            client,
            executor: Executor::new(Arc::new(store)),
        }
    }

    /// A broker that nobody has prepared.
    pub async fn without_a_log() -> Self {
        let log = Self::new().await;
        let jetstream = async_nats::jetstream::new(log.client.clone());
        jetstream.delete_stream("EVENTS").await.unwrap();
        log
    }

    /// Runs `waybill audit`; the broker is all that it is told of.
    pub async fn audit(&self, arguments: &[&str]) -> Said {
        let nowhere = tempfile::tempdir().unwrap();
        let output = Command::new(WAYBILL)
            .arg("audit")
            .args(arguments)
            .env("WAYBILL_NATS_URL", self.server.url())
            .env("WAYBILL_DATA_DIR", nowhere.path())
            .env("WAYBILL_LOG", "warn")
            .output()
            .await
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said {
            code: output.status.code().unwrap(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// The report as JSON; the exit code has to agree with it.
    pub async fn report(&self, arguments: &[&str]) -> Value {
        let said = self.audit(&[&["--json"], arguments].concat()).await;
        let report: Value =
            serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
        assert_eq!(report["clean"], said.code == 0, "{said:?}");
        report
    }

    pub async fn end(&self) -> u64 {
        self.executor.store().end().await.unwrap().position.0
    }

    pub async fn stocked(&self, quantity: u32) -> ProductId {
        let product = ProductId(Uuid::now_v7());
        let receive = inventory::Receive {
            quantity,
            reason: None,
        };
        let events = Inventory::decide(&Inventory::initial(), receive.into()).unwrap();
        self.append::<Inventory>(product.uuid(), events).await;
        product
    }

    /// An order of so many units by card.
    pub async fn placed(&self, product: ProductId, quantity: u32) -> Uuid {
        let card = PaymentMethod::Card {
            token: "pm_card_visa".into(),
        };
        self.placed_by(product, quantity, card).await
    }

    pub async fn placed_by(
        &self,
        product: ProductId,
        quantity: u32,
        method: PaymentMethod,
    ) -> Uuid {
        let id = Uuid::now_v7();
        let placed = terms(product, quantity, method);
        let (now, policy) = (Timestamp::now(), Policy::default());
        let started = start(OrderId(id), &placed, "sandbox", now, &policy).unwrap();
        let place = order::Place {
            quote_id: placed.quote_id,
            customer_id: placed.customer_id,
            partner_id: placed.partner_id,
            lines: placed.lines,
            total: placed.total,
            delivery_address: placed.delivery_address,
            phone: placed.phone,
            payment_method: placed.payment_method,
        };
        let order = Order::decide(&Order::initial(), place.into()).unwrap();
        self.record(id, Decision { order, ..started }).await;
        id
    }

    /// What the saga decides on this input, with its order's world as it stands.
    pub async fn decided(&self, order: Uuid, input: Input) -> Decision {
        self.decided_at(order, input, Timestamp::now()).await
    }

    async fn decided_at(&self, order: Uuid, input: Input, now: Timestamp) -> Decision {
        let load = Freshness::Leader;
        let saga = self.executor.load::<Fulfilment>(order, load).await.unwrap();
        let placed = self.executor.load::<Order>(order, load).await.unwrap();
        let payment = self.executor.load::<Payment>(order, load).await.unwrap();
        let mut stock = BTreeMap::new();
        for line in &saga.state.saga().unwrap().lines {
            let product = line.product_id;
            let loaded = self.executor.load::<Inventory>(product.uuid(), load).await;
            stock.insert(product, loaded.unwrap().state.as_ref().clone());
        }
        let world = World {
            order_id: OrderId(order),
            saga: &saga.state,
            order: &placed.state,
            payment: &payment.state,
            stock: &stock,
        };
        react(&world, input, now, &Policy::default()).unwrap()
    }

    /// The same for the provider's answer to the effect that is open.
    pub async fn answered(&self, order: Uuid, answer: Answer) -> Decision {
        let saga = self
            .executor
            .load::<Fulfilment>(order, Freshness::Leader)
            .await
            .unwrap();
        let open = saga.state.pending().unwrap();
        let input = Input::Answered {
            step: open.step,
            effect_id: open.effect_id,
            answer,
        };
        self.decided(order, input).await
    }

    pub async fn answer(&self, order: Uuid, answer: Answer) {
        let decision = self.answered(order, answer).await;
        self.record(order, decision).await;
    }

    pub async fn input(&self, order: Uuid, input: Input) {
        let decision = self.decided(order, input).await;
        self.record(order, decision).await;
    }

    /// What the saga waits for has not come in time.
    pub async fn deadline_passes(&self, order: Uuid) {
        let load = Freshness::Leader;
        let saga = self.executor.load::<Fulfilment>(order, load).await.unwrap();
        let then = saga.state.deadline().unwrap();
        let decision = self.decided_at(order, Input::DeadlinePassed, then).await;
        self.record(order, decision).await;
    }

    /// The newest effect of a step.
    pub async fn effect(&self, order: Uuid, step: domain::fulfilment::Step) -> EffectId {
        let saga = self
            .executor
            .load::<Fulfilment>(order, Freshness::Leader)
            .await
            .unwrap();
        let step = saga.state.saga().unwrap().step(step).unwrap();
        step.effect_id.unwrap()
    }

    /// Appends a batch, whatever it says.
    pub async fn record(&self, order: Uuid, decision: Decision) {
        let appended = self.executor.execute(metadata(), None, |work| {
            let decision = decision.clone();
            work.record::<Fulfilment>(order, decision.saga)?;
            work.record::<Order>(order, decision.order)?;
            work.record::<Payment>(order, decision.payment)?;
            for (product, events) in decision.stock {
                work.record::<Inventory>(product.uuid(), events)?;
            }
            Ok::<_, Stop<order::Rejection>>(())
        });
        appended.await.unwrap();
    }

    /// Appends events to one history, whatever they say.
    pub async fn append<D: Decider>(&self, id: Uuid, events: Vec<D::Event>) {
        let appended = self.executor.execute(metadata(), None, |work| {
            work.record::<D>(id, events.clone())?;
            Ok::<_, Stop<order::Rejection>>(())
        });
        appended.await.unwrap();
    }

    pub async fn paid(&self, order: Uuid, events: Vec<payment::Event>) {
        self.append::<Payment>(order, events).await;
    }

    /// Stores a message past Waybill, as version so and so of a history.
    pub async fn publish<E: EventSet>(
        &self,
        id: Uuid,
        version: u64,
        event_type: &'static str,
        payload: Vec<u8>,
    ) {
        let event = NewEvent {
            event_id: Uuid::now_v7(),
            event_type,
            schema_version: 1,
            payload: payload.into(),
            saga: None,
        };
        let mut headers = async_nats::HeaderMap::new();
        for (name, value) in envelope::to_headers(&event, Version(version), &metadata()) {
            headers.insert(name, value.as_str());
        }
        self.publish_raw(Subject::history(E::AGGREGATE, id), headers, event.payload)
            .await;
    }

    pub async fn publish_raw(
        &self,
        subject: Subject,
        headers: async_nats::HeaderMap,
        payload: bytes::Bytes,
    ) {
        let stored = async_nats::jetstream::new(self.client.clone())
            .publish_with_headers(subject.to_string(), headers, payload)
            .await
            .unwrap();
        stored.await.unwrap();
    }
}

pub fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::EUR)
}

pub fn total(quantity: u32) -> Money {
    eur(UNIT_PRICE * i64::from(quantity))
}

pub fn authorised(quantity: u32) -> Answer {
    Answer::Authorised {
        provider_payment_id: "pi_1".into(),
        amount: total(quantity),
    }
}

pub fn captured(quantity: u32) -> Answer {
    Answer::Captured {
        amount: total(quantity),
    }
}

pub fn refused() -> Answer {
    Answer::Refused {
        code: "refused".into(),
        message: "never".into(),
    }
}

fn metadata() -> Metadata {
    Metadata::new(CommandId(Uuid::now_v7()), Actor::system(), Timestamp::now())
}

fn terms(product: ProductId, quantity: u32, payment_method: PaymentMethod) -> Placed {
    let customer = CustomerId(Uuid::now_v7());
    let key = PersonalKey::generate().unwrap();
    let seal = |field: &str| {
        let said = "somewhere".to_owned();
        Sealed::seal(&key, customer.uuid(), Uuid::now_v7(), field, &said).unwrap()
    };
    Placed {
        quote_id: QuoteId(Uuid::now_v7()),
        customer_id: customer,
        partner_id: PartnerId(Uuid::now_v7()),
        lines: vec![Line {
            product_id: product,
            sku: "KETTLE".into(),
            name: "Kettle".into(),
            brand: "Corner".into(),
            category: "kitchen".into(),
            quantity,
            unit_price: eur(UNIT_PRICE),
            unit_cost: eur(900),
            total: total(quantity),
        }],
        total: total(quantity),
        delivery_address: seal("delivery_address"),
        phone: seal("phone"),
        payment_method,
    }
}
