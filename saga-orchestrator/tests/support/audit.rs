//! The domain's audit over what the log says of one order: its money and its stock, at every position.

use domain::fulfilment::audit::{Entry, Fact, Offence, Scope, audit};
use domain::{fulfilment, inventory, order, payment};
use event_schema::ids::{OrderId, ProductId};
use event_schema::{EventSet, Recorded, Subject, Version};
use event_store::Freshness;
use uuid::Uuid;

use super::shop::Shop;

enum Owned {
    Saga(fulfilment::Event),
    Order(order::Event),
    Payment(payment::Event),
    Stock(ProductId, inventory::Event),
}

impl Owned {
    fn fact(&self) -> Fact<'_> {
        match self {
            Self::Saga(event) => Fact::Saga(event),
            Self::Order(event) => Fact::Order(event),
            Self::Payment(event) => Fact::Payment(event),
            Self::Stock(product, event) => Fact::Stock(*product, event),
        }
    }
}

fn decoded<E: EventSet>(event: &Recorded) -> E {
    E::decode(&event.event_type, event.schema_version, &event.payload).unwrap()
}

async fn history(shop: &Shop, aggregate: &'static str, id: Uuid) -> Vec<Recorded> {
    let subject = Subject::history(aggregate, id);
    let store = shop.executor.store();
    store
        .load(&subject, Version::NONE, None, Freshness::Leader)
        .await
        .unwrap()
        .events
}

/// Money and stock of the order balance at every position of the log.
pub async fn balances(shop: &Shop, order: Uuid, product: ProductId) {
    let offences = offences(shop, order, product).await;
    assert!(offences.is_empty(), "{offences:#?}");
}

/// What does not balance of the order, at any position of the log.
pub async fn offences(shop: &Shop, order: Uuid, product: ProductId) -> Vec<Offence> {
    let mut all: Vec<(Recorded, Owned)> = Vec::new();
    for event in history(shop, "fulfilment", order).await {
        let fact = Owned::Saga(decoded(&event));
        all.push((event, fact));
    }
    for event in history(shop, "order", order).await {
        let fact = Owned::Order(decoded(&event));
        all.push((event, fact));
    }
    for event in history(shop, "payment", order).await {
        let fact = Owned::Payment(decoded(&event));
        all.push((event, fact));
    }
    for event in history(shop, "inventory", product.uuid()).await {
        let fact = Owned::Stock(product, decoded(&event));
        all.push((event, fact));
    }
    all.sort_by_key(|(event, _)| event.position);
    let entries = all.iter().map(|(event, owned)| Entry {
        position: event.position,
        command_id: event.metadata.command_id,
        fact: owned.fact(),
    });
    audit(OrderId(order), entries, Scope::EveryPosition)
}
