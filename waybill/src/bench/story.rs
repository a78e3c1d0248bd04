//! A log like a shop's: orders from placed to their end, decided by the real deciders and appended by the real write
//! path, with the provider's answers made up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use domain::fulfilment::{self, Answer, Fulfilment, Input, Policy, Rejection, Step, World, react};
use domain::inventory::{self, Inventory, Receive};
use domain::order::{Line, Order, PaymentMethod, Place};
use domain::payment::Payment;
use event_schema::ids::{CommandId, CustomerId, EffectId, OrderId, PartnerId, ProductId, QuoteId};
use event_schema::order::Placed;
use event_schema::{Actor, Currency, Metadata, Money, PersonalKey, Recorded, Sealed, Timestamp};
use event_store::{EventStore, Executor, Refusal, Stop, Work};
use service_kit::vault::Vault;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Orders that are on their way at once.
const AT_ONCE: usize = 96;
/// Fewer say nothing, however long they take.
const ORDERS_MIN: u64 = 200;
const CUSTOMERS: usize = 60;
const PRODUCTS: usize = 500;
const STOCK: u32 = 1_000_000;
/// One of so many orders is declined by the provider …
const DECLINED_EVERY: u64 = 20;
/// … and one of so many finds no stock, after its money was set aside.
const OUT_OF_STOCK_EVERY: u64 = 25;
const PROVIDER: &str = "sandbox";
/// The actor of everything that a bench appends begins so.
const ACTOR: &str = "bench";

/// The first event of a bench's log.
pub async fn mark(store: Arc<dyn EventStore>) -> anyhow::Result<()> {
    receive(&Executor::new(store), Uuid::now_v7(), 1).await
}

/// Whether it is one.
pub fn is_mark(event: &Recorded) -> bool {
    event
        .metadata
        .actor
        .as_str()
        .starts_with(&format!("{ACTOR}:"))
}

/// Units of one product arrive.
pub async fn receive(executor: &Executor, product: Uuid, quantity: u32) -> anyhow::Result<()> {
    let decide = |work: &mut Work| {
        let receive = Receive {
            quantity,
            reason: None,
        };
        work.decide::<Inventory>(product, receive.into())?;
        Ok::<_, Stop<inventory::Rejection>>(())
    };
    executor
        .execute(metadata(Actor::caller(ACTOR, Uuid::now_v7())), None, decide)
        .await?;
    Ok(())
}

/// A shop without a front.
pub struct Shop {
    executor: Executor,
    customers: Vec<(Uuid, PersonalKey)>,
    partner: Uuid,
    products: Vec<Uuid>,
    /// Never had a unit.
    sold_out: Uuid,
    policy: Policy,
}

impl Shop {
    /// Customers have their keys, products their stock.
    pub async fn open(executor: Executor, vault: &Vault) -> anyhow::Result<Self> {
        let mut customers = Vec::with_capacity(CUSTOMERS);
        for _ in 0..CUSTOMERS {
            let customer = Uuid::now_v7();
            customers.push((customer, vault.personal_key(customer).await?));
        }
        let products: Vec<Uuid> = (0..PRODUCTS).map(|_| Uuid::now_v7()).collect();
        let mut stocking = JoinSet::new();
        for product in products.clone() {
            let executor = executor.clone();
            stocking.spawn(async move { receive(&executor, product, STOCK).await });
        }
        while let Some(stocked) = stocking.join_next().await {
            stocked??;
        }
        Ok(Self {
            executor,
            customers,
            partner: Uuid::now_v7(),
            products,
            sold_out: Uuid::now_v7(),
            policy: Policy::default(),
        })
    }

    /// Takes orders until there are so many or the time is over; answers how many.
    pub async fn sell(self: &Arc<Self>, orders_max: u64, until: Instant) -> anyhow::Result<u64> {
        let next = Arc::new(AtomicU64::new(0));
        let mut hands = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (shop, next) = (Arc::clone(self), Arc::clone(&next));
            hands.spawn(async move {
                let mut sold = 0;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let enough = number >= ORDERS_MIN && Instant::now() >= until;
                    if number >= orders_max || enough {
                        break;
                    }
                    shop.order(number).await?;
                    sold += 1;
                }
                anyhow::Ok(sold)
            });
        }
        let mut sold = 0;
        while let Some(ended) = hands.join_next().await {
            sold += ended??;
        }
        Ok(sold)
    }

    /// Places orders whose customers have not paid yet, until there are so many or the time is over; answers their ids.
    pub async fn let_wait(
        self: &Arc<Self>,
        orders_max: u64,
        until: Instant,
    ) -> anyhow::Result<Vec<Uuid>> {
        let next = Arc::new(AtomicU64::new(0));
        let mut hands = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (shop, next) = (Arc::clone(self), Arc::clone(&next));
            hands.spawn(async move {
                let mut waiting = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let enough = number >= ORDERS_MIN && Instant::now() >= until;
                    if number >= orders_max || enough {
                        break;
                    }
                    waiting.push(shop.waits(number).await?);
                }
                anyhow::Ok(waiting)
            });
        }
        let mut waiting = Vec::new();
        while let Some(ended) = hands.join_next().await {
            waiting.extend(ended??);
        }
        Ok(waiting)
    }

    async fn waits(&self, number: u64) -> anyhow::Result<Uuid> {
        let id = Uuid::now_v7();
        let placed = Placed {
            payment_method: PaymentMethod::Checkout,
            ..self.placed(number, None)?
        };
        self.place(id, &placed).await?;
        let page = Answer::ActionRequired {
            checkout_url: format!("https://pay.example/{}", id.simple()),
            session_id: Some(format!("cs_{}", id.simple())),
            provider_payment_id: None,
        };
        self.answered(id, Step::Authorise, page).await?;
        Ok(id)
    }

    /// One order, from placed to its end.
    async fn order(&self, number: u64) -> anyhow::Result<()> {
        let id = Uuid::now_v7();
        let sold_out = number % OUT_OF_STOCK_EVERY == 7;
        let placed = self.placed(number, if sold_out { Some(self.sold_out) } else { None })?;
        self.place(id, &placed).await?;
        let payment = format!("pi_{}", id.simple());
        if number % DECLINED_EVERY == 3 {
            let (code, message) = (
                "card_declined".to_owned(),
                "Your card was declined.".to_owned(),
            );
            return self
                .answered(id, Step::Authorise, Answer::Refused { code, message })
                .await;
        }
        let authorised = Answer::Authorised {
            provider_payment_id: payment,
            amount: placed.total,
        };
        self.answered(id, Step::Authorise, authorised).await?;
        if sold_out {
            return self.answered(id, Step::Void, Answer::Voided).await;
        }
        let captured = Answer::Captured {
            amount: placed.total,
        };
        self.answered(id, Step::Capture, captured).await
    }

    fn placed(&self, number: u64, sold_out: Option<Uuid>) -> anyhow::Result<Placed> {
        let pick = |from: usize, step: u64| {
            usize::try_from(number.wrapping_mul(step)).unwrap_or(0) % from.max(1)
        };
        let (customer, key) = &self.customers[pick(self.customers.len(), 7)];
        let first = pick(self.products.len(), 13);
        let lines = 1 + pick(3, 1);
        let mut products: Vec<Uuid> = self
            .products
            .iter()
            .copied()
            .cycle()
            .skip(first)
            .take(lines.min(self.products.len()))
            .collect();
        products.extend(sold_out);
        let lines: Vec<Line> = products
            .into_iter()
            .map(|product| line(ProductId(product)))
            .collect();
        let total = lines.iter().map(|line| line.total.amount).sum();
        let origin = Uuid::now_v7();
        let seal = |field: &str, value: &str| {
            Sealed::seal(key, *customer, origin, field, &value.to_owned())
        };
        Ok(Placed {
            quote_id: QuoteId(origin),
            customer_id: CustomerId(*customer),
            partner_id: PartnerId(self.partner),
            lines,
            total: eur(total),
            delivery_address: seal("delivery_address", "Unter den Linden 1, 10117 Berlin")?,
            phone: seal("phone", "+49 30 7654321")?,
            payment_method: PaymentMethod::Card {
                token: "pm_card_visa".to_owned(),
            },
        })
    }

    async fn place(&self, id: Uuid, placed: &Placed) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let actor = Actor::caller("customer", placed.customer_id.uuid());
        let decide = |work: &mut Work| {
            work.prefetch::<Payment>(&[id]);
            work.prefetch::<Fulfilment>(&[id]);
            work.decide::<Order>(id, Place::from(placed.clone()).into())?;
            let started = fulfilment::start(OrderId(id), placed, PROVIDER, now, &self.policy)
                .map_err(Stop::Rejected)?;
            work.record::<Payment>(id, started.payment)?;
            work.record::<Fulfilment>(id, started.saga)?;
            Ok::<_, Stop<Rejection>>(())
        };
        self.executor.execute(metadata(actor), None, decide).await?;
        Ok(())
    }

    async fn answered(&self, id: Uuid, step: Step, answer: Answer) -> anyhow::Result<()> {
        let effect_id = EffectId::of(OrderId(id), step.as_str(), 1);
        let input = Input::Answered {
            step,
            effect_id,
            answer,
        };
        let now = Timestamp::now();
        let decide = |work: &mut Work| self.react(work, id, &input, now);
        self.executor
            .execute(metadata(Actor::saga()), None, decide)
            .await?;
        Ok(())
    }

    /// As the orchestrator does it: the stock is read only when the reaction asks for it.
    fn react(
        &self,
        work: &mut Work,
        id: Uuid,
        input: &Input,
        now: Timestamp,
    ) -> Result<(), Stop<Rejection>> {
        work.prefetch::<Order>(&[id]);
        work.prefetch::<Payment>(&[id]);
        let saga = work.state::<Fulfilment>(id)?;
        let order = work.state::<Order>(id)?;
        let payment = work.state::<Payment>(id)?;
        let mut stock = BTreeMap::new();
        let decision = loop {
            let world = World {
                order_id: OrderId(id),
                saga: &saga,
                order: &order,
                payment: &payment,
                stock: &stock,
            };
            match react(&world, input.clone(), now, &self.policy) {
                Err(Rejection::StockNotLoaded { .. }) if stock.is_empty() => {
                    let lines = saga.saga().map_or(&[][..], |saga| &saga.lines);
                    let ids: Vec<Uuid> = lines.iter().map(|line| line.product_id.uuid()).collect();
                    let states = work.states::<Inventory>(&ids)?;
                    let states = states.iter().map(|state| inventory::State::clone(state));
                    stock = ids.into_iter().map(ProductId).zip(states).collect();
                }
                decided => break decided.map_err(Stop::Rejected)?,
            }
        };
        work.record::<Fulfilment>(id, decision.saga)?;
        work.record::<Order>(id, decision.order)?;
        work.record::<Payment>(id, decision.payment)?;
        for (product, events) in decision.stock {
            work.record::<Inventory>(product.uuid(), events)?;
        }
        Ok(())
    }
}

fn metadata(actor: Actor) -> Metadata {
    Metadata::new(CommandId(Uuid::now_v7()), actor, Timestamp::now())
}

fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::EUR)
}

fn line(product_id: ProductId) -> Line {
    Line {
        product_id,
        sku: "LAMP-1".to_owned(),
        name: "Bicycle lamp".to_owned(),
        brand: "Lumen".to_owned(),
        category: "lights".to_owned(),
        quantity: 2,
        unit_price: eur(1999),
        unit_cost: eur(900),
        total: eur(3998),
    }
}

/// Keeps the compiler honest about what `?` turns a refusal into.
const _: fn(Refusal<domain::order::Rejection>) -> Stop<Rejection> = Stop::from;

#[cfg(test)]
mod tests {
    use event_store::{Freshness, InMemoryStore};

    use super::*;

    fn vaultless() -> Shop {
        let store: Arc<dyn EventStore> = Arc::new(InMemoryStore::default());
        Shop {
            executor: Executor::new(store),
            customers: vec![(Uuid::now_v7(), PersonalKey::generate().unwrap())],
            partner: Uuid::now_v7(),
            products: vec![Uuid::now_v7(), Uuid::now_v7()],
            sold_out: Uuid::now_v7(),
            policy: Policy::default(),
        }
    }

    #[tokio::test]
    async fn orders_end_confirmed_declined_or_out_of_stock_and_the_stock_balances() {
        let shop = Arc::new(vaultless());
        for product in shop.products.clone() {
            receive(&shop.executor, product, 500).await.unwrap();
        }
        let sold = shop
            .sell(50, Instant::now() + std::time::Duration::from_secs(60))
            .await
            .unwrap();
        assert_eq!(sold, 50);
        let log = shop
            .executor
            .store()
            .read(event_schema::Position(0), 10_000, None)
            .await
            .unwrap();
        let count = |name: &str| log.iter().filter(|event| event.event_type == name).count();
        assert_eq!(count("order.placed"), 50);
        assert_eq!(count("payment.declined"), 3);
        assert_eq!(count("payment.voided"), 2);
        assert_eq!(count("order.confirmed") + count("order.cancelled"), 50);
        let stock = shop
            .executor
            .load::<Inventory>(shop.products[0], Freshness::Leader)
            .await
            .unwrap()
            .state;
        assert_eq!((stock.received, stock.held), (500, 0));
        assert_eq!(stock.available + stock.sold, 500);
        assert!(stock.sold > 0);
    }

    #[tokio::test]
    async fn a_log_that_a_bench_began_is_known_by_its_first_event() {
        let store: Arc<dyn EventStore> = Arc::new(InMemoryStore::default());
        mark(Arc::clone(&store)).await.unwrap();
        let first = store.at(event_schema::Position(1)).await.unwrap().unwrap();
        assert!(is_mark(&first));
    }
}
