//! Customers that place one order after the other and wait until it is confirmed, as the log tells it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use async_trait::async_trait;
use event_store::EventStore;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use uuid::Uuid;

use super::shop::Shop;
use crate::bench::race::{Contestant, Sample};
use crate::bench::times::Times;

/// A card that is good, and answered at once.
pub const CARD: &str = "pm_card_visa";
const CONFIRMED: &str = "order.confirmed";
const CANCELLED: &str = "order.cancelled";
/// An order that is not confirmed by then is lost.
const CONFIRMED_LIMIT: Duration = Duration::from_secs(60);
/// Orders of the first round, each customer's; later ones are as many as fit into the time.
const FIRST_ORDERS: usize = 2;
const ORDERS_A_ROUND_MAX: usize = 2_000;

/// Moments at which orders ended, and those who wait for them.
type Ends = Arc<Mutex<HashMap<Uuid, End>>>;

enum End {
    Awaited(oneshot::Sender<(Instant, bool)>),
    Came(Instant, bool),
}

/// Somebody for each place in the queue.
pub struct Customers {
    shop: Arc<Shop>,
    tokens: Vec<String>,
    ends: Ends,
    reader: AbortHandle,
}

impl Drop for Customers {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Customers {
    /// Makes them known to the shop, and begins to read the log.
    pub async fn register(
        shop: &Arc<Shop>,
        store: Arc<dyn EventStore>,
        count: usize,
    ) -> anyhow::Result<Self> {
        let mut tokens = Vec::with_capacity(count);
        for _ in 0..count {
            tokens.push(shop.customer().await?);
        }
        let ends = Ends::default();
        let end = store.end().await?.position;
        let subscription = store.subscribe(end, &["evt.order.>"]).await?;
        let reader = tokio::spawn(read(subscription, Arc::clone(&ends))).abort_handle();
        Ok(Self {
            shop: Arc::clone(shop),
            tokens,
            ends,
            reader,
        })
    }

    /// One of them.
    pub fn token(&self, number: usize) -> anyhow::Result<&str> {
        let token = self.tokens.get(number % self.tokens.len().max(1));
        token.map(String::as_str).context("there are no customers")
    }

    /// Asks for a price.
    pub async fn quote(&self, token: &str) -> anyhow::Result<Value> {
        let body = json!({
            "partner_id": self.shop.partner(),
            "lines": [{"product_id": self.shop.product(), "quantity": 1}],
            "delivery_address": "Unter den Linden 1, Berlin", "phone": "+49 30 7654321",
        });
        let quote = self
            .shop
            .send(token, Method::POST, "/v1/orders/check", &body)
            .await?;
        Ok(quote["quote_id"].clone())
    }

    /// Places an order; gives its id.
    pub async fn place(&self, token: &str, quote: &Value) -> anyhow::Result<Uuid> {
        let body = json!({"quote_id": quote, "payment": {"method": "card", "token": CARD}});
        let order = self
            .shop
            .send(token, Method::POST, "/v1/orders", &body)
            .await?;
        Ok(order["order_id"]
            .as_str()
            .context("an order without an id")?
            .parse()?)
    }

    /// Waits until the order has ended well; gives the moment. Nothing when it did not within the limit.
    pub async fn confirmed(&self, order: Uuid) -> anyhow::Result<Option<Instant>> {
        let awaited = {
            let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
            match ends.remove(&order) {
                Some(End::Came(at, well)) => return end(order, at, well).map(Some),
                _ => {
                    let (tell, awaited) = oneshot::channel();
                    ends.insert(order, End::Awaited(tell));
                    awaited
                }
            }
        };
        match timeout(CONFIRMED_LIMIT, awaited).await {
            Ok(told) => {
                let (at, well) = told.context("the log cannot be read any more")?;
                end(order, at, well).map(Some)
            }
            Err(_) => Ok(None),
        }
    }
}

fn end(order: Uuid, at: Instant, well: bool) -> anyhow::Result<Instant> {
    if well {
        Ok(at)
    } else {
        bail!("the order {order} was cancelled; the bench's orders have no reason to be")
    }
}

async fn read(mut subscription: event_store::Subscription, ends: Ends) {
    // When the log cannot be followed any more those who wait hear of it by the sender's end.
    while let Ok(event) = subscription.next().await {
        let well = match event.event_type.as_str() {
            CONFIRMED => true,
            CANCELLED => false,
            _ => continue,
        };
        let Some(order) = event.aggregate_id() else {
            continue;
        };
        let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
        match ends.remove(&order) {
            // Whoever waited may have given up.
            Some(End::Awaited(tell)) => drop(tell.send((Instant::now(), well))),
            _ => drop(ends.insert(order, End::Came(Instant::now(), well))),
        }
    }
    ends.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// Rounds of orders.
pub struct Orders {
    customers: Arc<Customers>,
    /// Orders a second, as far as is known.
    pace: Option<f64>,
}

impl Orders {
    pub fn new(customers: Arc<Customers>) -> Self {
        Self {
            customers,
            pace: None,
        }
    }
}

#[async_trait]
impl Contestant for Orders {
    async fn run(&mut self, about: Duration) -> anyhow::Result<Sample> {
        let places = self.customers.tokens.len();
        // Half of the time goes into the quotes, which are not in the figure.
        let fitting = self
            .pace
            .map_or(0.0, |pace| pace * about.as_secs_f64() / 2.0 / places as f64);
        let each = (fitting as usize).clamp(FIRST_ORDERS, ORDERS_A_ROUND_MAX);
        let mut quotes = JoinSet::new();
        for place in 0..places {
            let customers = Arc::clone(&self.customers);
            quotes.spawn(async move {
                let token = customers.token(place)?.to_owned();
                let mut quotes = Vec::with_capacity(each);
                for _ in 0..each {
                    quotes.push(customers.quote(&token).await?);
                }
                anyhow::Ok((token, quotes))
            });
        }
        let quotes = quotes
            .join_all()
            .await
            .into_iter()
            .collect::<anyhow::Result<Vec<_>>>()?;
        let begun = Instant::now();
        let mut buying = JoinSet::new();
        for (token, quotes) in quotes {
            let customers = Arc::clone(&self.customers);
            buying.spawn(async move {
                let (mut orders, mut times) = (0, Times::new()?);
                for quote in quotes {
                    let at = Instant::now();
                    let order = customers.place(&token, &quote).await?;
                    let Some(confirmed) = customers.confirmed(order).await? else {
                        bail!(
                            "the order {order} was not confirmed within {} s",
                            CONFIRMED_LIMIT.as_secs()
                        );
                    };
                    times.record(confirmed.saturating_duration_since(at));
                    orders += 1;
                }
                anyhow::Ok((orders, times))
            });
        }
        let (mut orders, mut times) = (0, Times::new()?);
        for ended in buying.join_all().await {
            let (bought, took) = ended?;
            orders += bought;
            times.add(&took)?;
        }
        let took = begun.elapsed();
        self.pace = Some(orders as f64 / took.as_secs_f64().max(1e-3));
        Ok(Sample {
            took,
            amounts: vec![("orders", orders)],
            times: Some(times),
        })
    }
}
