//! A saga that is set aside, so that the others go on: it is shown in the buckets, never written to its history.

use event_schema::fulfilment::Cause;
use uuid::Uuid;

use super::Context;
use super::slots::Job;
use crate::status::{SagaStatus, Verdict, status_key};

/// Shows a saga that is set aside: as it was shown last, with what is wrong with it.
pub(super) async fn show(context: &Context, order: Uuid, job: Job, cause: Cause, reason: &str) {
    let bucket = &context.board.buckets().status;
    let last = bucket.get(status_key(order)).await.ok().flatten();
    let last: Option<SagaStatus> = last.and_then(|value| serde_json::from_slice(&value).ok());
    let now = context.clock.now();
    let position = last
        .as_ref()
        .map_or(0, |last| last.position)
        .max(job.at_least.0);
    let shown = SagaStatus {
        status: Verdict::NeedsOperator,
        cause: Some(cause),
        since: now,
        position,
        deadline: None,
        detail: Some(reason.chars().take(300).collect()),
        read_by: None,
        ..last.unwrap_or_else(|| SagaStatus::unread(order, now))
    };
    context.board.put(shown);
}
