//! Reading a whole bucket once: every key's latest value, as it stood when the reading began.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::consumer::{DeliverPolicy, push};
use async_nats::jetstream::kv;
use bytes::Bytes;
use futures::StreamExt;
use tokio::time::timeout;

/// A reading that makes no progress for so long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(10);
const OPERATION_HEADER: &str = "KV-Operation";

/// One key's latest value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Its value.
    pub value: Bytes,
    /// The value's revision.
    pub revision: u64,
}

/// The bucket could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[error("the bucket {bucket} could not be read: {reason}")]
pub struct ScanError {
    bucket: String,
    reason: String,
}

/// Hands every present key that fits the pattern to `each`.
pub async fn scan(
    client: &Client,
    bucket: &kv::Store,
    pattern: &str,
    mut each: impl FnMut(Entry) + Send,
) -> Result<(), ScanError> {
    let failed = |reason: String| ScanError {
        bucket: bucket.name.clone(),
        reason,
    };
    let config = push::OrderedConfig {
        deliver_subject: client.new_inbox(),
        filter_subject: format!("{}{pattern}", bucket.prefix),
        deliver_policy: DeliverPolicy::LastPerSubject,
        ..Default::default()
    };
    let consumer = timeout(SILENCE_MAX, bucket.stream.create_consumer(config))
        .await
        .map_err(|_| failed("no answer".into()))?
        .map_err(|error| failed(error.to_string()))?;
    if consumer.cached_info().num_pending == 0 {
        return Ok(());
    }
    let mut messages = consumer
        .messages()
        .await
        .map_err(|error| failed(error.to_string()))?;
    loop {
        let message = timeout(SILENCE_MAX, messages.next())
            .await
            .map_err(|_| failed("it stopped half-way".into()))?
            .ok_or_else(|| failed("it ended half-way".into()))?
            .map_err(|error| failed(error.to_string()))?;
        let info = message.info().map_err(|error| failed(error.to_string()))?;
        let (revision, pending) = (info.stream_sequence, info.pending);
        let removed = message
            .headers
            .as_ref()
            .is_some_and(|headers| headers.get(OPERATION_HEADER).is_some());
        if let Some(key) = message.subject.strip_prefix(bucket.prefix.as_str())
            && !removed
        {
            each(Entry {
                key: key.to_owned(),
                value: message.payload.clone(),
                revision,
            });
        }
        if pending == 0 {
            return Ok(());
        }
    }
}
