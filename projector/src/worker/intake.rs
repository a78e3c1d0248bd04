//! Taking events out of a subscription in batches: everything that is waiting, up to a limit.

use std::time::Duration;

use tokio::time::Instant;

use event_schema::Recorded;
use event_store::{SubscribeError, Subscription};

/// How long a batch waits for events that are known to be on their way.
const BATCH_WAIT: Duration = Duration::from_millis(20);

/// A subscription read in batches.
pub(crate) struct Intake {
    subscription: Subscription,
    /// Taken out of the subscription and not handed on yet.
    waiting: Vec<Recorded>,
}

impl Intake {
    /// Reads from here on.
    pub fn new(subscription: Subscription) -> Self {
        Self {
            subscription,
            waiting: Vec::new(),
        }
    }

    /// The next batch, at least one event. A lone event is not kept waiting: only what is already there is added.
    /// A message that is no event of ours is passed by with an error in the log; every other trouble is the caller's.
    ///
    /// May be dropped at any await: what was taken out of the subscription by then comes with the next call. (A
    /// batch in a local variable would be lost, and its events with it, for good.)
    pub async fn next_batch(&mut self, limit: usize) -> Result<Vec<Recorded>, SubscribeError> {
        while self.waiting.is_empty() {
            match self.subscription.next().await {
                Ok(event) => self.waiting.push(event),
                Err(error) => pass_unreadable(error)?,
            }
        }
        let until = Instant::now() + BATCH_WAIT;
        while self.waiting.len() < limit && !self.subscription.caught_up() {
            match tokio::time::timeout_at(until, self.subscription.next()).await {
                Ok(Ok(event)) => self.waiting.push(event),
                Ok(Err(error @ SubscribeError::Unreadable { .. })) => pass_unreadable(error)?,
                // What was read so far is good; the trouble is said again by the next call.
                Ok(Err(_)) | Err(_) => break,
            }
        }
        Ok(std::mem::take(&mut self.waiting))
    }

    /// Whether nothing more is known to be waiting.
    pub fn caught_up(&self) -> bool {
        self.waiting.is_empty() && self.subscription.caught_up()
    }

    /// How many more events are known to be waiting.
    pub fn behind(&self) -> u64 {
        self.subscription
            .behind()
            .saturating_add(self.waiting.len() as u64)
    }
}

fn pass_unreadable(error: SubscribeError) -> Result<(), SubscribeError> {
    match error {
        SubscribeError::Unreadable { position, reason } => {
            metrics::counter!("waybill_projector_unreadable_messages_total").increment(1);
            tracing::error!(
                position = position.0,
                reason,
                "a message in the log is no event of ours; the projections pass it by",
            );
            Ok(())
        }
        other => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use event_schema::Position;
    use event_store::{EventStore as _, InMemoryStore};
    use futures::FutureExt as _;
    use uuid::Uuid;

    use super::*;
    use crate::testing::Shop;
    use crate::testing::stories::received;

    #[tokio::test]
    async fn events_taken_out_by_a_call_that_was_dropped_come_with_the_next_one() {
        let store = InMemoryStore::new();
        let shop = Shop::with_log(std::sync::Arc::new(store.clone())).await;
        for _ in 0..300 {
            shop.happens([received(Uuid::now_v7(), 1)]).await;
        }
        let mut intake = Intake::new(store.subscribe(Position(0), &["evt.>"]).await.unwrap());
        let mut seen = BTreeSet::new();
        for _ in 0..100_000 {
            // Dropped wherever it first waits.
            if let Some(batch) = intake.next_batch(7).now_or_never() {
                for event in batch.unwrap() {
                    assert!(seen.insert(event.position), "twice: {}", event.position);
                }
            } else if seen.len() == 300 {
                break;
            } else {
                tokio::task::yield_now().await;
            }
        }
        assert!(seen.iter().copied().eq((1..=300).map(Position)));
    }
}
