//! A shop without its front door: a log on a real nats-server, and things that happen in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dev_servers::{NatsOptions, NatsServer};
use domain::notification::{Delivery, Notification, Stage};
use event_schema::ids::{CommandId, CustomerId, OrderId, PartnerId, ProductId, QuoteId};
use event_schema::notification::{Channel, Status};
use event_schema::{
    Actor, Currency, Decider, Metadata, Money, PersonalKey, Sealed, Timestamp, customer,
    fulfilment, order, partner,
};
use event_store::{Executor, Freshness, JetStreamStore, Stop, topology};
use notifier::keys::{Keys, Locked};
use secrecy::SecretString;
use uuid::Uuid;

/// Everything that a notifier does by itself is done well within this, also after a kill.
pub const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

pub struct Shop {
    pub server: Arc<NatsServer>,
    pub client: async_nats::Client,
    pub executor: Executor,
    key: PersonalKey,
}

/// One key opens everything here.
struct OneKey(PersonalKey);

#[async_trait]
impl Keys for OneKey {
    async fn of_person(&self, _: Uuid) -> Result<Option<PersonalKey>, Locked> {
        Ok(Some(self.0.clone()))
    }

    async fn of_webhook(&self, _: Uuid, _: Timestamp) -> Result<Vec<SecretString>, Locked> {
        Ok(vec![SecretString::from("whsec_c2VjcmV0")])
    }
}

/// Waits for a condition.
pub async fn within<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(POLL).await;
    }
}

impl Shop {
    pub async fn open() -> Self {
        let start = || NatsServer::temporary_with(NatsOptions::with_default_sync);
        let server = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
        let client = async_nats::connect(server.url()).await.unwrap();
        topology::migrate(&client, 1).await.unwrap();
        let store = JetStreamStore::connect(client.clone()).await.unwrap();
        Self {
            server: Arc::new(server),
            client,
            executor: Executor::new(Arc::new(store)),
            key: PersonalKey::generate().unwrap(),
        }
    }

    pub fn keys(&self) -> Arc<dyn Keys> {
        Arc::new(OneKey(self.key.clone()))
    }

    pub fn sealed(&self, person: Uuid, field: &str, value: &str) -> Sealed<String> {
        Sealed::seal(&self.key, person, person, field, &value.to_owned()).unwrap()
    }

    /// Something happens, as some command would have it.
    pub async fn happens<D: Decider>(&self, id: Uuid, events: Vec<D::Event>) {
        self.happened::<D>(id, events, Timestamp::now()).await;
    }

    /// The same at another moment.
    pub async fn happened<D: Decider>(&self, id: Uuid, events: Vec<D::Event>, at: Timestamp) {
        let metadata = Metadata::new(CommandId(Uuid::now_v7()), Actor::system(), at);
        self.executor
            .execute(metadata, None, |work| {
                work.record::<D>(id, events.clone())
                    .map_err(Stop::<()>::from)
            })
            .await
            .unwrap();
    }

    /// A customer who is reached by e-mail only.
    pub async fn customer(&self) -> CustomerId {
        self.person(customer::Role::Customer).await
    }

    pub async fn person(&self, role: customer::Role) -> CustomerId {
        let id = Uuid::now_v7();
        let added = customer::Added {
            name: self.sealed(id, "name", "Ada Example"),
            email: self.sealed(id, "email", &format!("{id}@example.org")),
            email_key: id.to_string(),
            role,
        };
        self.happens::<domain::customer::Customer>(id, vec![added.into()])
            .await;
        CustomerId(id)
    }

    /// The customer is reached by telephone and on a device too.
    pub async fn reachable(&self, customer: CustomerId) {
        let id = customer.uuid();
        let changed = customer::ProfileChanged {
            name: self.sealed(id, "name", "Ada Example"),
            phone: Some(self.sealed(id, "phone", "+49 30 1")),
            birth_date: None,
            push_token: Some(self.sealed(id, "push_token", "device-1")),
        };
        self.happens::<domain::customer::Customer>(id, vec![changed.into()])
            .await;
    }

    pub async fn partner(&self, webhook_url: Option<&str>) -> PartnerId {
        let id = Uuid::now_v7();
        let added = partner::Added {
            title: "Corner Bakery".into(),
            brand: "Corner".into(),
            phone: String::new(),
            email: "bakery@example.org".into(),
            address: "Corner Street 1".into(),
            webhook_url: webhook_url.map(str::to_owned),
        };
        self.happens::<domain::partner::Partner>(id, vec![added.into()])
            .await;
        PartnerId(id)
    }

    pub async fn place(&self, customer: CustomerId, partner: PartnerId) -> OrderId {
        let id = Uuid::now_v7();
        let eur = |amount| Money::new(amount, Currency::EUR);
        let placed = order::Placed {
            quote_id: QuoteId(Uuid::now_v7()),
            customer_id: customer,
            partner_id: partner,
            lines: vec![order::Line {
                product_id: ProductId(Uuid::now_v7()),
                sku: "BUN-1".into(),
                name: "Bun".into(),
                brand: "Corner".into(),
                category: "bread".into(),
                quantity: 2,
                unit_price: eur(100),
                unit_cost: eur(40),
                total: eur(200),
            }],
            total: eur(200),
            delivery_address: self.sealed(customer.uuid(), "delivery_address", "Main Street 2"),
            phone: self.sealed(customer.uuid(), "phone", "+49 30 2"),
            payment_method: order::PaymentMethod::Card {
                token: "pm_card_visa".into(),
            },
        };
        self.happens::<domain::order::Order>(id, vec![placed.into()])
            .await;
        OrderId(id)
    }

    /// The order's saga has completed.
    pub async fn completes(&self, order: OrderId) {
        let completed = fulfilment::Completed {}.into();
        self.happens::<domain::fulfilment::Fulfilment>(order.uuid(), vec![completed])
            .await;
    }

    /// The messages of one history.
    pub async fn messages(&self, history: Uuid) -> Vec<Delivery> {
        let loaded = self
            .executor
            .load::<Notification>(history, Freshness::Leader)
            .await
            .unwrap();
        loaded.state.deliveries().cloned().collect()
    }

    /// Waits until a message of the channel has ended; how.
    pub async fn settled(&self, history: Uuid, channel: Channel) -> Status {
        within("a message is settled", || async {
            let messages = self.messages(history).await;
            messages.iter().find_map(|delivery| match delivery.stage {
                Stage::Settled(status) if delivery.intent.channel == channel => Some(status),
                _ => None,
            })
        })
        .await
    }

    /// Waits until somebody has told the end of the log: everything that is old by then is old news.
    pub async fn led(&self) {
        let bucket = async_nats::jetstream::new(self.client.clone())
            .get_key_value(topology::NOTIFIER)
            .await
            .unwrap();
        within("a notifier leads and has a checkpoint", || async {
            bucket.entry("checkpoint").await.ok().flatten().map(drop)
        })
        .await;
    }

    /// Types of everything that was stored about messages.
    pub async fn stored(&self, history: Uuid) -> Vec<String> {
        let subject = event_schema::Subject::history("notification", history);
        let store = self.executor.store();
        let none = event_schema::Version::NONE;
        let loaded = store.load(&subject, none, None, Freshness::Leader).await;
        let events = loaded.unwrap().events.into_iter();
        events.map(|event| event.event_type.to_string()).collect()
    }
}
