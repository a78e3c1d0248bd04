//! What a new owner has to know: which sagas are open, and what happened since the bucket was last complete.

use std::collections::BTreeMap;
use std::time::Duration;

use event_schema::{Position, Recorded};
use event_store::LoadError;
use event_store::topology::SHARE_GROUP;
use futures::future::{join_all, try_join_all};
use tokio::time::timeout;

use super::share::Inheritance;
use super::slots::Job;
use super::wake::{Asks, asks};
use super::{Context, Share};
use crate::status::{SAGA_KEYS, SagaStatus, ScanError, complete_to, order_of_key, scan};

const UNPIN_MAX: Duration = Duration::from_secs(3);
const READ_BATCH: usize = 1_000;
/// As far as there is something.
const END: Position = Position(u64::MAX);
/// What wakes sagas, as patterns over the whole log; a share's own part is picked out here.
const PATTERNS: [&str; 2] = ["evt.fulfilment.>", "evt.payment.>"];

/// A share could not be taken over now.
#[derive(Debug, thiserror::Error)]
pub(super) enum TakeoverError {
    #[error("the log could not be read: {0}")]
    Log(#[from] LoadError),
    #[error(transparent)]
    Status(#[from] ScanError),
    #[error("the bucket saga_status could not be read: {0}")]
    Completeness(String),
    /// What was worked before was of another log.
    #[error("{0}")]
    OtherLog(String),
}

/// Takes several shares over at once, reading bucket and log once for all of them.
pub(super) async fn take_over(
    context: &Context,
    shares: &[Share],
) -> Result<BTreeMap<Share, Inheritance>, TakeoverError> {
    // From here on the broker hands nothing to the owner before; if nobody was pinned, there is nothing to undo.
    let unpins = shares.iter().map(|share| async move {
        let unpinned = context.events.unpin_consumer(&share.consumer(), SHARE_GROUP).await;
        if let Err(error) = unpinned {
            tracing::debug!(saga.share = %share, %error, "the share's consumer had no pinned client");
        }
    });
    if timeout(UNPIN_MAX, join_all(unpins)).await.is_err() {
        tracing::debug!(
            "the shares' consumers could not all be unpinned; their pins run out by themselves"
        );
    }
    let known = completeness(context, shares).await?;
    let boundary = context.executor.store().end().await?.position;
    let mut inheritance = BTreeMap::new();
    for (share, mut complete_to) in known {
        if complete_to > boundary {
            tracing::warn!(saga.share = %share, %complete_to, %boundary, "saga_status knows more than the log holds; reading the whole log");
            complete_to = Position(0);
        }
        inheritance.insert(
            share,
            Inheritance {
                boundary,
                complete_to,
                wakes: Vec::new(),
            },
        );
    }

    let buckets = context.board.buckets();
    scan(&buckets.client, &buckets.status, SAGA_KEYS, |entry| {
        let Some(order) = order_of_key(&entry.key) else {
            return;
        };
        let Some(inherited) = inheritance.get_mut(&Share::of(order)) else {
            return;
        };
        let shown: Option<SagaStatus> = serde_json::from_slice(&entry.value).ok();
        if shown.as_ref().is_none_or(|shown| !shown.status.is_end()) {
            let at_least = Position(shown.map_or(0, |shown| shown.position).min(boundary.0));
            inherited.wakes.push((
                order,
                Job {
                    at_least,
                    ..Job::default()
                },
            ));
        }
    })
    .await?;

    let from = inheritance
        .values()
        .map(|inherited| inherited.complete_to)
        .min()
        .unwrap_or(boundary);
    for (share, inherited) in &inheritance {
        context.board.begin(*share, inherited.complete_to);
    }
    let mut asked = Vec::new();
    // What comes after the boundary is brought by the broker.
    each_event(context, from, boundary, |event| {
        asked.extend(asked_of(shares, event));
    })
    .await?;
    asked.sort_by_key(|(position, _)| *position);
    for (position, asked) in asked {
        let (order, look_up) = match asked {
            Asks::Saga { order, .. } => (order, false),
            Asks::Callback { order } => (order, true),
            Asks::Nothing => continue,
        };
        let Some(inherited) = inheritance.get_mut(&Share::of(order)) else {
            continue;
        };
        if position > inherited.complete_to {
            // Never a first call: whoever owned the share before may have made it.
            inherited.wakes.push((
                order,
                Job {
                    at_least: position,
                    look_up,
                    ..Job::default()
                },
            ));
        }
    }
    metrics::counter!("waybill_saga_takeovers_total").increment(shares.len() as u64);
    Ok(inheritance)
}

/// How far the bucket shows these shares; of another log than this one it may not be believed.
pub(super) async fn completeness(
    context: &Context,
    shares: &[Share],
) -> Result<BTreeMap<Share, Position>, TakeoverError> {
    let asked = shares.iter().map(|share| async move {
        let known = complete_to(&context.board.buckets().status, *share).await;
        Ok::<_, TakeoverError>((*share, known.map_err(TakeoverError::Completeness)?))
    });
    let known = try_join_all(asked).await?;
    // Asked afterwards: whoever owned a share until now may still have added to both.
    let store = &**context.executor.store();
    let (log, end) = (store.identity().await?, store.end().await?.position);
    let (log, checks) = (&log, known.iter());
    let checks = checks.map(|(_, known)| known.mismatch(store, log, end));
    if let Some(why) = try_join_all(checks).await?.into_iter().flatten().next() {
        return Err(TakeoverError::OtherLog(why));
    }
    Ok(known
        .into_iter()
        .map(|(share, known)| (share, known.position))
        .collect())
}

/// What has been asked of these shares since a position. Of what is asked meanwhile as little as possible is caught: it
/// comes to the owner first-hand.
pub(super) async fn read_log(
    context: &Context,
    shares: &[Share],
    from: Position,
) -> Result<Vec<(Position, Asks)>, LoadError> {
    let mut all = Vec::new();
    each_of_sagas(context, from, END, |event| {
        all.extend(asked_of(shares, event));
    })
    .await?;
    all.sort_by_key(|(position, _)| *position);
    Ok(all)
}

/// What an event asks of these shares.
fn asked_of(shares: &[Share], event: &Recorded) -> Option<(Position, Asks)> {
    let order = event.aggregate_id()?;
    let effect = event.saga.as_ref().and_then(|saga| saga.effect_id);
    let asked = asks(&event.subject, &event.event_type, effect, None);
    (shares.contains(&Share::of(order)) && asked != Asks::Nothing)
        .then_some((event.position, asked))
}

/// Reads the log from after one position up to another: at least what is of sagas and payments. That is nearly half of it,
/// so everything is read at once, unless something lies there that is no event at all.
pub(super) async fn each_event(
    context: &Context,
    from: Position,
    to: Position,
    mut look_at: impl FnMut(&Recorded),
) -> Result<(), LoadError> {
    let mut after = from;
    while after < to {
        let left = usize::try_from(to.0 - after.0).unwrap_or(usize::MAX);
        let store = context.executor.store();
        match store.read(after, READ_BATCH.min(left), None).await {
            Ok(read) => {
                let Some(last) = read.last().map(|event| event.position) else {
                    break;
                };
                read.iter()
                    .filter(|event| event.position <= to)
                    .for_each(&mut look_at);
                after = last;
            }
            Err(LoadError::Corrupt { .. }) => {
                return each_of_sagas(context, after, to, look_at).await;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn each_of_sagas(
    context: &Context,
    from: Position,
    to: Position,
    mut look_at: impl FnMut(&Recorded),
) -> Result<(), LoadError> {
    for pattern in PATTERNS {
        let mut after = from;
        while after < to {
            let store = context.executor.store();
            let read = store.read(after, READ_BATCH, Some(pattern)).await?;
            read.iter()
                .filter(|event| event.position <= to)
                .for_each(&mut look_at);
            match read.last() {
                Some(last) if read.len() >= READ_BATCH => after = last.position,
                Some(_) | None => break,
            }
        }
    }
    Ok(())
}
