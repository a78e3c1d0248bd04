//! Ended sagas leave the status bucket after seven days; their histories stay.

use std::time::Duration;

use event_schema::Timestamp;

use super::{Buckets, SAGA_KEYS, SagaStatus, ScanError, scan};

/// How long an ended saga is shown.
const ENDED_SHOWN_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Most that one sweep removes; the next one goes on.
const REMOVED_MAX: usize = 10_000;
/// A dead process's sign of life is of no use after this.
const SIGN_KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Removes what has ended long ago; tells how many. The keys leave without a marker, so nothing of them stays behind.
pub async fn sweep(buckets: &Buckets, now: Timestamp) -> Result<usize, ScanError> {
    let mut gone = Vec::new();
    scan(&buckets.client, &buckets.status, SAGA_KEYS, |entry| {
        let read: Result<SagaStatus, _> = serde_json::from_slice(&entry.value);
        let old =
            read.is_ok_and(|shown| shown.status.is_end() && shown.since + ENDED_SHOWN_FOR < now);
        if old && gone.len() < REMOVED_MAX {
            gone.push(entry.key);
        }
    })
    .await?;
    scan(&buckets.client, &buckets.status, "_instance.*", |entry| {
        #[derive(serde::Deserialize)]
        struct Sign {
            at: Timestamp,
        }
        let read: Result<Sign, _> = serde_json::from_slice(&entry.value);
        if read.is_ok_and(|sign| sign.at + SIGN_KEPT_FOR < now) {
            gone.push(entry.key);
        }
    })
    .await?;
    let mut removed = 0;
    for key in gone {
        let subject = format!("{}{key}", buckets.status.prefix);
        match buckets.status.stream.purge().filter(subject).await {
            Ok(_) => removed += 1,
            Err(error) => {
                tracing::warn!(saga.key = key, %error, "an ended saga could not be removed from saga_status")
            }
        }
    }
    Ok(removed)
}
