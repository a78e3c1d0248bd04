//! `saga.show <order id>`: one saga in full, from its history, checked against the leader.

use event_schema::fulfilment::Cause;
use event_store::{Freshness, LoadError};
use uuid::Uuid;

use super::{Answer, Refusal, field, text};
use crate::runner::{Context, Share, read_owner};
use crate::status::{SagaStatus, status_key};
use crate::view::{self, Seen};

pub(super) async fn answer(context: &Context, question: &str) -> Result<Answer, Refusal> {
    let order = field(question, "order_id")?
        .ok_or_else(|| Refusal::BadRequest("name the order: saga.show <order id>".into()))?;
    let order = order.strip_prefix("fulfilment.").unwrap_or(&order);
    let order: Uuid = order
        .parse()
        .map_err(|_| Refusal::BadRequest(format!("{order:?} is not an order's id")))?;
    let (shown, events) = match view::load(&context.executor, order, Freshness::Leader).await {
        Ok(Some(Seen { shown, version })) => {
            (as_the_bucket_has_it(context, shown).await, Some(version.0))
        }
        Ok(None) => return Err(Refusal::NotFound(order)),
        // A history that cannot be read is shown as it was last, which says what is wrong with it.
        Err(error @ (LoadError::Newer { .. } | LoadError::Corrupt { .. })) => (
            last_shown(context, order)
                .await
                .ok_or_else(|| Refusal::Unavailable(error.to_string()))?,
            None,
        ),
        Err(error) => return Err(Refusal::Unavailable(error.to_string())),
    };
    let owner = read_owner(&context.board.buckets().status, Share::of(order))
        .await
        .ok()
        .flatten();
    let owner = owner.map(|(_, owner)| owner);
    Answer::new(
        text::show(&shown, owner.as_ref(), events, context.clock.now()),
        &shown,
    )
}

/// The history does not know that its handling fails, nor since when the verdict holds; the bucket does.
async fn as_the_bucket_has_it(context: &Context, shown: SagaStatus) -> SagaStatus {
    let Some(last) = last_shown(context, shown.id).await else {
        return shown;
    };
    let quarantined = matches!(
        last.cause,
        Some(Cause::Poisoned | Cause::VersionUnsupported)
    );
    if quarantined && last.position >= shown.position {
        return SagaStatus {
            status: last.status,
            cause: last.cause,
            detail: last.detail,
            since: last.since,
            ..shown
        };
    }
    let same = last.status == shown.status && last.cause == shown.cause;
    SagaStatus {
        since: if same { last.since } else { shown.since },
        ..shown
    }
}

async fn last_shown(context: &Context, order: Uuid) -> Option<SagaStatus> {
    let value = context
        .board
        .buckets()
        .status
        .get(status_key(order))
        .await
        .ok()
        .flatten()?;
    serde_json::from_slice(&value).ok()
}
