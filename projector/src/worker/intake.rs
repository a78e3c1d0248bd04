//! Taking events out of a subscription in batches: everything that is waiting, up to a limit.

use std::time::Duration;

use tokio::time::Instant;

use event_schema::Recorded;
use event_store::{SubscribeError, Subscription};

/// How long a batch waits for events that are known to be on their way.
const BATCH_WAIT: Duration = Duration::from_millis(20);

/// How long the rest of a group is waited for that a batch would otherwise hold only a part of.
const GROUP_WAIT_MAX: Duration = Duration::from_millis(500);

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

    /// The next batch, at least one event. A lone event is not kept waiting: only what is already there is added. What was
    /// appended together comes together, as far as that is known in time, so that no query sees half of a command.
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
        let mut until = Instant::now() + BATCH_WAIT;
        let at_last = until + GROUP_WAIT_MAX;
        while !self.subscription.caught_up() {
            if self.waiting.len() >= limit && last_group(&self.waiting) > 0 {
                break;
            }
            match tokio::time::timeout_at(until, self.subscription.next()).await {
                Ok(Ok(event)) => self.waiting.push(event),
                Ok(Err(error @ SubscribeError::Unreadable { .. })) => pass_unreadable(error)?,
                // What was read so far is good; the trouble is said again by the next call.
                Ok(Err(_)) => break,
                Err(_) if until < at_last && last_group(&self.waiting) == 0 => until = at_last,
                Err(_) => break,
            }
        }
        let mut batch = std::mem::take(&mut self.waiting);
        if !self.subscription.caught_up() {
            // More is on its way, and the last group may be among it.
            match last_group(&batch) {
                0 => {}
                last_group => self.waiting = batch.split_off(last_group),
            }
        }
        Ok(batch)
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

/// Where the group of the last event begins: events of one command were appended together.
fn last_group(events: &[Recorded]) -> usize {
    let command = events.last().map(|event| event.metadata.command_id);
    let other = |event: &Recorded| Some(event.metadata.command_id) != command;
    events
        .iter()
        .rposition(other)
        .map_or(0, |before| before + 1)
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
    async fn what_was_appended_together_comes_together() {
        let store = InMemoryStore::new();
        let shop = Shop::with_log(std::sync::Arc::new(store.clone())).await;
        for events in [1, 3, 2, 5, 1, 1] {
            let product = Uuid::now_v7();
            shop.happens((0..events).map(|_| received(product, 1)))
                .await;
        }
        for limit in 1..=14 {
            let mut intake = Intake::new(store.subscribe(Position(0), &["evt.>"]).await.unwrap());
            let mut begun = BTreeSet::new();
            let mut seen = 0;
            while seen < 13 {
                let batch = intake.next_batch(limit).await.unwrap();
                let commands: BTreeSet<_> = batch
                    .iter()
                    .map(|event| event.metadata.command_id.uuid())
                    .collect();
                assert!(begun.is_disjoint(&commands), "one of them came before");
                begun.extend(commands);
                seen += batch.len();
            }
            assert_eq!(begun.len(), 6);
        }
    }

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
