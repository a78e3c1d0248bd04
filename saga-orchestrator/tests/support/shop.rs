//! A shop without its front door: a log on a real nats-server, products in stock, orders placed as the API does it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dev_servers::NatsServer;
use domain::fulfilment::{self, Fulfilment, Input, Policy, Rejection, World, react, start};
use domain::inventory::{self, Inventory};
use domain::order::{self, Order};
use domain::payment::{self, Payment};
use event_schema::ids::{CommandId, CustomerId, OrderId, PartnerId, ProductId, QuoteId};
use event_schema::order::{CancelReason, Line, PaymentMethod, Placed};
use event_schema::{
    Actor, Currency, Metadata, Money, PersonalKey, Recorded, SagaDef, Sealed, Subject, Timestamp,
    Version,
};
use event_store::{ExecuteError, Executor, Freshness, JetStreamStore, Stop};
use saga_orchestrator::status::{Buckets, SagaStatus, Verdict, status_key};
use saga_orchestrator::{Share, read_owner};
use uuid::Uuid;

/// Everything that a saga does by itself is done well within this, also after a kill.
pub const PATIENCE: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(20);
pub const UNIT_PRICE: i64 = 2100;

pub struct Shop {
    pub server: NatsServer,
    pub client: async_nats::Client,
    pub executor: Executor,
    pub buckets: Buckets,
    /// The provider that orders are placed with.
    pub provider_id: &'static str,
}

impl Shop {
    pub async fn open() -> Self {
        let server = tokio::task::spawn_blocking(NatsServer::temporary)
            .await
            .unwrap()
            .unwrap();
        let client = async_nats::connect(server.url()).await.unwrap();
        event_store::topology::migrate(&client, 1).await.unwrap();
        let store = JetStreamStore::connect(client.clone()).await.unwrap();
        let buckets = Buckets::open(client.clone()).await.unwrap();
        Self {
            server,
            client,
            executor: Executor::new(std::sync::Arc::new(store)),
            buckets,
            provider_id: "sandbox",
        }
    }

    /// A new product with so many units.
    pub async fn stocked(&self, quantity: u32) -> ProductId {
        let product = ProductId(Uuid::now_v7());
        let receive = inventory::Receive {
            quantity,
            reason: None,
        };
        self.executor
            .execute(metadata(Uuid::now_v7()), None, |work| {
                work.decide::<Inventory>(product.uuid(), receive.clone().into())
                    .map_err(Stop::<inventory::Rejection>::from)
            })
            .await
            .unwrap();
        product
    }

    /// An order of so many units of one product, paid by this card.
    pub async fn order(&self, product: ProductId, quantity: u32, token: &str) -> Uuid {
        self.place(
            product,
            quantity,
            PaymentMethod::Card {
                token: token.into(),
            },
        )
        .await
    }

    /// An order that is paid on the hosted page.
    pub async fn checkout(&self, product: ProductId, quantity: u32) -> Uuid {
        self.place(product, quantity, PaymentMethod::Checkout).await
    }

    /// Places an order: order, payment and saga in one group, the authorisation's intent in it.
    pub async fn place(&self, product: ProductId, quantity: u32, method: PaymentMethod) -> Uuid {
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, Uuid::now_v7().as_bytes());
        self.place_as(id, product, quantity, method).await
    }

    pub async fn place_as(
        &self,
        id: Uuid,
        product: ProductId,
        quantity: u32,
        method: PaymentMethod,
    ) -> Uuid {
        self.place_under(id, product, quantity, method, None).await
    }

    /// Places an order whose saga runs under another definition, as another build would.
    pub async fn place_under(
        &self,
        id: Uuid,
        product: ProductId,
        quantity: u32,
        method: PaymentMethod,
        def: Option<SagaDef>,
    ) -> Uuid {
        let placed = placed(product, quantity, method);
        let now = Timestamp::now();
        let mut decision = start(
            OrderId(id),
            &placed,
            self.provider_id,
            now,
            &Policy::default(),
        )
        .unwrap();
        for event in &mut decision.saga {
            if let (fulfilment::Event::Started(started), Some(def)) = (event, &def) {
                started.def = def.clone();
            }
        }
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
        self.executor
            .execute(metadata(id), None, |work| {
                work.decide::<Order>(id, place.clone().into())
                    .map_err(Stop::<order::Rejection>::from)?;
                work.record::<Payment>(id, decision.payment.clone())?;
                work.record::<Fulfilment>(id, decision.saga.clone())?;
                Ok(())
            })
            .await
            .unwrap();
        id
    }

    /// The customer calls the order off, as the API does it.
    pub async fn cancel(&self, order: Uuid) -> Result<(), Rejection> {
        let input = Input::CancelRequested {
            reason: CancelReason::CustomerCancelled,
            detail: None,
        };
        let policy = Policy::default();
        let cancelled = self
            .executor
            .execute(metadata(Uuid::now_v7()), None, |work| {
                let saga = work.state::<Fulfilment>(order)?;
                let state = work.state::<Order>(order)?;
                let payment = work.state::<Payment>(order)?;
                let lines: Vec<_> = saga
                    .saga()
                    .unwrap()
                    .lines
                    .iter()
                    .map(|line| line.product_id)
                    .collect();
                let ids: Vec<Uuid> = lines.iter().map(|id| id.uuid()).collect();
                let stock = lines.iter().copied().zip(work.states::<Inventory>(&ids)?);
                let stock = stock
                    .map(|(id, state)| (id, state.as_ref().clone()))
                    .collect();
                let world = World {
                    order_id: OrderId(order),
                    saga: &saga,
                    order: &state,
                    payment: &payment,
                    stock: &stock,
                };
                let decision = react(&world, input.clone(), Timestamp::now(), &policy)
                    .map_err(Stop::Rejected)?;
                work.record::<Fulfilment>(order, decision.saga)?;
                work.record::<Order>(order, decision.order)?;
                work.record::<Payment>(order, decision.payment)?;
                for (product, events) in decision.stock {
                    work.record::<Inventory>(product.uuid(), events)?;
                }
                Ok(())
            })
            .await;
        match cancelled {
            Ok(_) => Ok(()),
            Err(ExecuteError::Rejected(rejection)) => Err(rejection),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Records a provider's callback, as the webhook does it.
    pub async fn callback(&self, order: Uuid, callback: payment::RecordCallback) {
        let recorded = self
            .executor
            .execute(metadata(Uuid::now_v7()), None, |work| {
                work.decide::<Payment>(order, callback.clone().into())
                    .map_err(Stop::<payment::Rejection>::from)
            })
            .await;
        assert!(
            !matches!(
                recorded,
                Err(ExecuteError::Append(_) | ExecuteError::Load(_))
            ),
            "{recorded:?}"
        );
    }

    /// Stores something under a saga's subject that no build can read.
    pub async fn publish_garbage(&self, order: Uuid) {
        let subject = Subject::history("fulfilment", order);
        let event = event_schema::NewEvent {
            event_id: Uuid::now_v7(),
            event_type: "fulfilment.started",
            schema_version: 1,
            payload: bytes::Bytes::from_static(b"garbage"),
            saga: None,
        };
        let mut headers = async_nats::HeaderMap::new();
        for (name, value) in
            event_schema::envelope::to_headers(&event, Version(1), &metadata(order))
        {
            headers.insert(name, value.as_str());
        }
        let jetstream = async_nats::jetstream::new(self.client.clone());
        let stored = jetstream
            .publish_with_headers(subject.to_string(), headers, event.payload)
            .await
            .unwrap();
        stored.await.unwrap();
    }

    /// Asks the desk; an error as its code and text.
    pub async fn ask(
        &self,
        subject: &str,
        body: &str,
        json: bool,
    ) -> Result<String, (String, String)> {
        let accept: &[(&str, &str)] = &[("Accept", "application/json")];
        self.desk(subject, body, if json { accept } else { &[] })
            .await
    }

    /// Orders something at the desk as an operator does; the answer read.
    pub async fn command(
        &self,
        verb: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Result<serde_json::Value, (String, String)> {
        let headers = [headers, &[("Accept", "application/json")]].concat();
        let answer = self.desk(&format!("saga.{verb}"), body, &headers).await?;
        Ok(serde_json::from_str(&answer).unwrap())
    }

    pub async fn desk(
        &self,
        subject: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Result<String, (String, String)> {
        let mut map = async_nats::HeaderMap::new();
        map.insert("Test", "1");
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        let request =
            self.client
                .request_with_headers(subject.to_owned(), map, body.to_owned().into());
        let answer = request.await.unwrap();
        let header = |name: &str| {
            answer
                .headers
                .as_ref()
                .and_then(|headers| headers.get(name))
                .map(|value| value.to_string())
        };
        match header("Nats-Service-Error-Code") {
            Some(code) => Err((code, header("Nats-Service-Error").unwrap_or_default())),
            None => Ok(String::from_utf8(answer.payload.to_vec()).unwrap()),
        }
    }

    /// Records events of a saga that its own decider would not have decided.
    pub async fn force(&self, order: Uuid, events: Vec<fulfilment::Event>) {
        self.executor
            .execute(metadata(Uuid::now_v7()), None, |work| {
                work.state::<Fulfilment>(order)?;
                work.record::<Fulfilment>(order, events.clone())
                    .map_err(Stop::<Rejection>::from)
            })
            .await
            .unwrap();
    }

    pub async fn order_state(&self, order: Uuid) -> order::State {
        self.executor
            .load::<Order>(order, Freshness::Leader)
            .await
            .unwrap()
            .state
            .as_ref()
            .clone()
    }

    pub async fn payment_state(&self, order: Uuid) -> payment::State {
        self.executor
            .load::<Payment>(order, Freshness::Leader)
            .await
            .unwrap()
            .state
            .as_ref()
            .clone()
    }

    pub async fn stock(&self, product: ProductId) -> inventory::State {
        self.executor
            .load::<Inventory>(product.uuid(), Freshness::Leader)
            .await
            .unwrap()
            .state
            .as_ref()
            .clone()
    }

    /// The saga's history.
    pub async fn history(&self, order: Uuid) -> Vec<Recorded> {
        let subject = Subject::history("fulfilment", order);
        self.executor
            .store()
            .load(&subject, Version::NONE, None, Freshness::Leader)
            .await
            .unwrap()
            .events
    }

    /// What the bucket shows, raw.
    pub async fn shown_raw(&self, order: Uuid) -> Option<String> {
        let value = self.buckets.status.get(status_key(order)).await.unwrap()?;
        Some(String::from_utf8(value.to_vec()).unwrap())
    }

    pub async fn shown(&self, order: Uuid) -> Option<SagaStatus> {
        Some(serde_json::from_str(&self.shown_raw(order).await?).unwrap())
    }

    /// Waits until the bucket shows this verdict.
    pub async fn reaches(&self, order: Uuid, verdict: Verdict) -> SagaStatus {
        let mut last = None;
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            last = self.shown(order).await;
            if let Some(shown) = last.as_ref().filter(|shown| shown.status == verdict) {
                return shown.clone();
            }
            tokio::time::sleep(POLL).await;
        }
        let history: Vec<String> = self
            .history(order)
            .await
            .iter()
            .map(|event| format!("{} {:?}", event.event_type, event.saga))
            .collect();
        panic!("not {verdict:?} in time: {last:#?}\n{history:#?}");
    }

    /// How many shares each process owns, by its token; shares that nobody owns are not among them.
    pub async fn owners(&self) -> BTreeMap<String, usize> {
        let mut owners = BTreeMap::new();
        for share in Share::all() {
            let owner = read_owner(&self.buckets.status, share).await.unwrap();
            if let Some((_, owner)) = owner.filter(|(_, owner)| !owner.token.is_empty()) {
                *owners.entry(owner.token).or_default() += 1;
            }
        }
        owners
    }

    /// Waits until the shares are spread like this, most first.
    pub async fn spread(&self, wanted: &[usize]) -> BTreeMap<String, usize> {
        let mut last = BTreeMap::new();
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            last = self.owners().await;
            let mut counts: Vec<usize> = last.values().copied().collect();
            counts.sort_unstable_by(|a, b| b.cmp(a));
            if counts == wanted {
                return last;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("the shares are not spread like {wanted:?}: {last:?}");
    }

    /// The key's value in the bucket of sagas that need a person.
    pub async fn attention(&self, cause: &str, order: Uuid) -> Option<String> {
        let key = format!("fulfilment.{cause}.{order}");
        let value = self.buckets.attention.get(key).await.unwrap()?;
        Some(String::from_utf8(value.to_vec()).unwrap())
    }

    /// Where the log ends.
    pub async fn end(&self) -> u64 {
        self.executor.store().end().await.unwrap().position.0
    }

    /// Waits until the saga's history has so many events.
    pub async fn recorded(&self, order: Uuid, events: usize) {
        eventually("the saga's history grows", async || {
            self.history(order).await.len() >= events
        })
        .await;
    }
}

/// Waits, within limits, until something holds.
pub async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(POLL).await;
    }
}

pub fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::EUR)
}

fn metadata(command: Uuid) -> Metadata {
    Metadata::new(CommandId(command), Actor::system(), Timestamp::now())
}

fn placed(product: ProductId, quantity: u32, payment_method: PaymentMethod) -> Placed {
    let customer = CustomerId(Uuid::now_v7());
    let key = PersonalKey::generate().unwrap();
    let seal = |field: &str| {
        Sealed::seal(
            &key,
            customer.uuid(),
            Uuid::now_v7(),
            field,
            &"somewhere".to_owned(),
        )
        .unwrap()
    };
    let total = eur(UNIT_PRICE * i64::from(quantity));
    Placed {
        quote_id: QuoteId(Uuid::now_v7()),
        customer_id: customer,
        partner_id: PartnerId(Uuid::now_v7()),
        lines: vec![Line {
            product_id: product,
            sku: "KETTLE".into(),
            name: "Bouilloire d'été".into(),
            brand: "Corner".into(),
            category: "kitchen".into(),
            quantity,
            unit_price: eur(UNIT_PRICE),
            unit_cost: eur(900),
            total,
        }],
        total,
        delivery_address: seal("delivery_address"),
        phone: seal("phone"),
        payment_method,
    }
}
