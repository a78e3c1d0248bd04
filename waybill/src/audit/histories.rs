//! An order that had come to rest and is heard of again: its three histories as they were until then.

use async_trait::async_trait;
use domain::fulfilment::{self, Fulfilment};
use domain::order::{self, Order};
use domain::payment::{self, Payment};
use event_schema::{Decider, EventSet as _, Position, Subject, Version};
use event_store::{EventStore, Freshness, LoadError};
use uuid::Uuid;

/// An order's states.
#[derive(Debug, Clone, PartialEq)]
pub struct Histories {
    /// Its saga.
    pub saga: fulfilment::State,
    /// The order.
    pub order: order::State,
    /// Its payment.
    pub payment: payment::State,
}

/// Where histories can be read again.
#[async_trait]
pub trait Archive: Send + Sync {
    /// An order's states with everything that lies before a position.
    async fn before(&self, order: Uuid, position: Position) -> Result<Histories, LoadError>;
}

#[async_trait]
impl<S: EventStore + ?Sized> Archive for S {
    async fn before(&self, order: Uuid, position: Position) -> Result<Histories, LoadError> {
        Ok(Histories {
            saga: fold::<Fulfilment, _>(self, order, position).await?,
            order: fold::<Order, _>(self, order, position).await?,
            payment: fold::<Payment, _>(self, order, position).await?,
        })
    }
}

async fn fold<D: Decider, S: EventStore + ?Sized>(
    store: &S,
    id: Uuid,
    before: Position,
) -> Result<D::State, LoadError> {
    let subject = Subject::history(D::Event::AGGREGATE, id);
    let at_least = Freshness::AtLeast(Position(before.0.saturating_sub(1)));
    let history = store.load(&subject, Version::NONE, None, at_least).await?;
    let mut state = D::initial();
    for event in history.events.iter().filter(|e| e.position < before) {
        let read = D::Event::decode(&event.event_type, event.schema_version, &event.payload);
        let event = read.map_err(|error| LoadError::Corrupt {
            place: format!("position {}", event.position),
            reason: error.to_string(),
        })?;
        state = D::evolve(state, &event);
    }
    Ok(state)
}
