//! A busy day of events, a projection that chokes on command, and a log that changes its past.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use event_schema::{Position, Recorded, Subject, Version};
use event_store::{
    AppendError, EventStore, Freshness, Group, History, InMemoryStore, LoadError, LogEnd,
    LogIdentity, Subscription, Waiting,
};
use uuid::Uuid;

use crate::projection::{ApplyError, Batch, Projection, Table};
use crate::read_models::orders::Orders;
use crate::testing::Shop;
use crate::testing::stories::{
    AnOrder, all_cleared, cleared, customer, offer, partner, product, read, received,
};

/// Customers, partners, products, stock and orders with every ending: a few hundred events.
pub async fn a_busy_day(shop: &Shop, orders: usize) -> Vec<AnOrder> {
    let (seller, mug) = (Uuid::now_v7(), Uuid::now_v7());
    shop.happens([
        partner(seller, "Corner"),
        product(mug, Some(seller), "mug"),
        offer(seller, mug, 850, true),
    ])
    .await;
    shop.happens([received(mug, 10_000)]).await;
    let mut placed = Vec::new();
    for number in 0..orders {
        let order = AnOrder {
            partner: seller,
            product: mug,
            ..AnOrder::new()
        };
        let added = customer(shop, order.customer, &format!("customer {number}")).await;
        let welcome = shop.happens([added]).await;
        shop.happens(order.by_card(shop).await).await;
        match number % 3 {
            0 => {
                shop.happens(order.held()).await;
                shop.happens(order.confirmed()).await;
                on_its_way(shop, &order, number).await;
            }
            1 => {
                shop.happens(order.declined()).await;
            }
            _ => {
                shop.happens(order.out_of_stock()).await;
                shop.happens(order.voided()).await;
            }
        }
        tidies_up(shop, &order, number, welcome).await;
        placed.push(order);
    }
    placed
}

/// What people do with their inboxes: some read, some clear one, some clear all, and some of those are told more later.
async fn tidies_up(shop: &Shop, order: &AnOrder, number: usize, welcome: Position) {
    let (person, first) = (order.customer, Uuid::from_u128(number as u128));
    match number % 5 {
        0 => drop(shop.happens([read(person, first, welcome)]).await),
        1 => {
            shop.happens([read(person, first, welcome)]).await;
            shop.happens([cleared(person, first, welcome)]).await;
        }
        2 => {
            shop.happens([all_cleared(person, welcome)]).await;
            let end = shop.store.end().await.unwrap().position;
            shop.happens([all_cleared(person, end)]).await;
        }
        _ => {}
    }
}

/// What becomes of a confirmed order: some are prepared, taken, delivered; of some, money goes back.
async fn on_its_way(shop: &Shop, order: &AnOrder, number: usize) {
    if number.is_multiple_of(2) {
        shop.happens([order.ready()]).await;
        shop.happens([order.assigned(Uuid::now_v7())]).await;
        shop.happens([order.delivered()]).await;
    }
    match number % 4 {
        1 => drop(shop.happens([order.refunded("re_1", 333)]).await),
        2 => drop(shop.happens([order.refunded("re_1", 1700)]).await),
        _ => {}
    }
}

/// The orders, applied by something that chokes on some of them until it is cured.
#[derive(Clone, Default)]
pub struct Choking(Arc<Mutex<BTreeSet<Uuid>>>);

impl Choking {
    pub fn on(order: Uuid) -> Self {
        Self(Arc::new(Mutex::new(BTreeSet::from([order]))))
    }

    pub fn is_cured(&self) {
        self.0.lock().unwrap().clear();
    }
}

#[async_trait]
impl Projection for Choking {
    fn name(&self) -> &'static str {
        Orders.name()
    }

    fn tables(&self) -> &'static [Table] {
        Orders.tables()
    }

    fn aggregates(&self) -> &'static [&'static str] {
        Orders.aggregates()
    }

    async fn apply(&self, batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
        let poison = {
            let choking = self.0.lock().unwrap();
            events
                .iter()
                .find(|event| event.aggregate_id().is_some_and(|id| choking.contains(&id)))
                .copied()
        };
        match poison {
            Some(event) => Err(ApplyError::event(event, "choked on it")),
            None => Orders.apply(batch, events).await,
        }
    }
}

/// The orders, written by a statement that Postgres does not understand until it is cured.
#[derive(Clone, Default)]
pub struct Broken(Arc<AtomicBool>);

impl Broken {
    pub fn is_cured(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Projection for Broken {
    fn name(&self) -> &'static str {
        Orders.name()
    }

    fn tables(&self) -> &'static [Table] {
        Orders.tables()
    }

    fn aggregates(&self) -> &'static [&'static str] {
        Orders.aggregates()
    }

    async fn apply(&self, batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
        if !self.0.load(Ordering::SeqCst) {
            sqlx::query(batch.sql("select nonsense from read.orders"))
                .execute(batch.connection())
                .await?;
        }
        Orders.apply(batch, events).await
    }
}

/// A log in memory that can be exchanged for another one behind the projector's back.
pub struct Exchangeable {
    log: Mutex<InMemoryStore>,
    /// Said instead of the log's own, when a tail was lost: it is still the same stream.
    identity: LogIdentity,
    keeps_identity: bool,
}

impl Exchangeable {
    pub async fn new(keeps_identity: bool) -> Self {
        let log = InMemoryStore::new();
        let identity = log.identity().await.unwrap();
        Self {
            log: Mutex::new(log),
            identity,
            keeps_identity,
        }
    }

    pub fn exchange(&self, log: InMemoryStore) {
        *self.log.lock().unwrap() = log;
    }

    fn log(&self) -> InMemoryStore {
        self.log.lock().unwrap().clone()
    }
}

#[async_trait]
impl EventStore for Exchangeable {
    async fn submit(&self, group: Group) -> Result<Waiting, AppendError> {
        self.log().submit(group).await
    }

    async fn load(
        &self,
        subject: &Subject,
        after: Version,
        seen: Option<Position>,
        freshness: Freshness,
    ) -> Result<History, LoadError> {
        self.log().load(subject, after, seen, freshness).await
    }

    async fn head(&self, subject: &Subject) -> Result<Option<(Version, Position)>, LoadError> {
        self.log().head(subject).await
    }

    async fn heads(
        &self,
        subjects: &[Subject],
    ) -> Result<Vec<Option<(Version, Position)>>, LoadError> {
        self.log().heads(subjects).await
    }

    async fn read(
        &self,
        after: Position,
        limit: usize,
        filter: Option<&str>,
    ) -> Result<Vec<Recorded>, LoadError> {
        self.log().read(after, limit, filter).await
    }

    async fn end(&self) -> Result<LogEnd, LoadError> {
        self.log().end().await
    }

    async fn identity(&self) -> Result<LogIdentity, LoadError> {
        if self.keeps_identity {
            Ok(self.identity.clone())
        } else {
            self.log().identity().await
        }
    }

    async fn at(&self, position: Position) -> Result<Option<Recorded>, LoadError> {
        self.log().at(position).await
    }

    async fn subscribe(
        &self,
        after: Position,
        filters: &[&str],
    ) -> Result<Subscription, LoadError> {
        self.log().subscribe(after, filters).await
    }

    async fn snapshot(&self, key: &str) -> Result<Option<Bytes>, LoadError> {
        self.log().snapshot(key).await
    }

    async fn put_snapshot(&self, key: &str, value: Bytes) {
        self.log().put_snapshot(key, value).await;
    }
}
