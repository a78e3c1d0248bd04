//! Taking events out of a subscription in batches: everything that is waiting, up to a limit.

use std::time::Duration;

use tokio::time::Instant;

use event_schema::Recorded;
use event_store::{SubscribeError, Subscription};

/// How long a batch waits for events that are known to be on their way.
const BATCH_WAIT: Duration = Duration::from_millis(20);

/// The next batch, at least one event. A lone event is not kept waiting: only what is already there is added.
///
/// A message that is no event of ours is passed by with an error in the log; every other trouble is the caller's.
pub(crate) async fn next_batch(subscription: &mut Subscription, limit: usize) -> Result<Vec<Recorded>, SubscribeError> {
    let first = loop {
        match subscription.next().await {
            Ok(event) => break event,
            Err(error) => pass_unreadable(error)?,
        }
    };
    let mut batch = vec![first];
    let until = Instant::now() + BATCH_WAIT;
    while batch.len() < limit && !subscription.caught_up() {
        match tokio::time::timeout_at(until, subscription.next()).await {
            Ok(Ok(event)) => batch.push(event),
            Ok(Err(error @ SubscribeError::Unreadable { .. })) => pass_unreadable(error)?,
            // What was read so far is good; the trouble is said again by the next call.
            Ok(Err(_)) | Err(_) => break,
        }
    }
    Ok(batch)
}

fn pass_unreadable(error: SubscribeError) -> Result<(), SubscribeError> {
    match error {
        SubscribeError::Unreadable { position, reason } => {
            metrics::counter!("waybill_projector_unreadable_messages_total").increment(1);
            tracing::error!(
                position = position.0, reason,
                "a message in the log is no event of ours; the projections pass it by",
            );
            Ok(())
        }
        other => Err(other),
    }
}
