//! The sagas that keep a build from working are among those that need a person, for as long as a build is kept from working
//! by them. What was put up is noted in `saga_status`, so that whoever comes next takes off what nobody else is there to.

use std::collections::{BTreeMap, BTreeSet};

use event_schema::Timestamp;
use event_schema::fulfilment::Cause;
use uuid::Uuid;

use super::board::attention_key;
use super::{Buckets, SagaStatus, ScanError, ascii, scan, status_key};

const NOTE: &str = "_refused.";
const CAUSE: Cause = Cause::VersionUnsupported;
/// Most that are put up; so many tell the same as more.
const POINTED_OUT_MAX: usize = 1_000;

/// A bucket could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefusedError {
    /// Not read as a whole.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// One key of it.
    #[error("the buckets of sagas could not be read or written: {0}")]
    Key(String),
}

fn key_failed(error: impl std::fmt::Display) -> RefusedError {
    RefusedError::Key(error.to_string())
}

/// Puts up the sagas that keep a build from working, with why, and takes off those that do not.
pub(crate) async fn point_out(
    buckets: &Buckets,
    refused: &BTreeMap<Uuid, String>,
    now: Timestamp,
) -> Result<(), RefusedError> {
    let mut noted = BTreeSet::new();
    let pattern = format!("{NOTE}*");
    scan(&buckets.client, &buckets.status, &pattern, |entry| {
        let order = entry.key.strip_prefix(NOTE);
        if let Some(order) = order.and_then(|order| Uuid::parse_str(order).ok()) {
            noted.insert(order);
        }
    })
    .await?;
    for order in noted.iter().filter(|order| !refused.contains_key(order)) {
        take_off(buckets, *order).await?;
    }
    let missing = refused
        .iter()
        .filter(|(order, _)| !noted.contains(*order))
        .take(POINTED_OUT_MAX.saturating_sub(noted.len()));
    for (order, why) in missing {
        put_up(buckets, *order, why, now).await?;
    }
    Ok(())
}

async fn put_up(
    buckets: &Buckets,
    order: Uuid,
    why: &str,
    now: Timestamp,
) -> Result<(), RefusedError> {
    if is_set_aside(buckets, order).await? {
        return Ok(());
    }
    // The line before the note: whoever dies in between puts up the line again.
    let line = format!("a build that cannot carry it takes no work: {why}, since {now:.0}");
    let line = ascii::plain_line(&line);
    let put = buckets
        .attention
        .put(attention_key(CAUSE, order), line.into());
    put.await.map_err(key_failed)?;
    let note = buckets.status.put(format!("{NOTE}{order}"), "".into());
    note.await.map_err(key_failed)?;
    Ok(())
}

async fn take_off(buckets: &Buckets, order: Uuid) -> Result<(), RefusedError> {
    if !is_set_aside(buckets, order).await? {
        let purged = buckets.attention.purge(attention_key(CAUSE, order)).await;
        purged.map_err(key_failed)?;
    }
    // Without a marker, so nothing of it stays behind.
    let subject = format!("{}{NOTE}{order}", buckets.status.prefix);
    let purged = buckets.status.stream.purge().filter(subject).await;
    purged.map_err(key_failed)?;
    Ok(())
}

/// Whether its owner has set it aside for the same cause: then the line is the owner's.
async fn is_set_aside(buckets: &Buckets, order: Uuid) -> Result<bool, RefusedError> {
    let shown = buckets.status.get(status_key(order)).await;
    let shown = shown.map_err(key_failed)?;
    let shown: Option<SagaStatus> = shown.and_then(|value| serde_json::from_slice(&value).ok());
    Ok(shown.is_some_and(|shown| shown.cause == Some(CAUSE)))
}
