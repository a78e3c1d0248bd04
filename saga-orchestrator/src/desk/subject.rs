//! The saga that a question is about: what its history says, and whether its owner has set it aside, which the history
//! does not know.

use domain::fulfilment::{self, Choice, Event, Fulfilment, Quarantine, you_may};
use event_schema::fulfilment::{Cause, NeedsOperator};
use event_schema::{Decider, EventSet, Position, Subject, Version};
use event_store::{Freshness, LoadError};
use uuid::Uuid;

use super::refusal::Refusal;
use crate::runner::Context;
use crate::status::{SagaStatus, status_key};
use crate::view::{self, Seen};

/// The saga of an order, checked against the leader.
pub(super) struct About {
    pub(super) seen: Seen,
    /// Set while its owner has set it aside.
    pub(super) quarantine: Option<Quarantine>,
}

/// Reads the saga.
pub(super) async fn read(context: &Context, order: Uuid) -> Result<Option<About>, LoadError> {
    let Some(mut seen) = view::load(&context.executor, order, Freshness::Leader).await? else {
        return Ok(None);
    };
    let last = last_shown(context, order).await;
    let quarantine = match &last {
        Some(last) => set_aside(context, order, last).await?,
        None => None,
    };
    if let Some(last) = last {
        seen.shown = as_the_bucket_has_it(seen.shown, last, quarantine.is_some());
    }
    Ok(Some(About { seen, quarantine }))
}

/// The same for a question that needs an answer.
pub(super) async fn of(context: &Context, order: Uuid) -> Result<About, Refusal> {
    let read = read(context, order).await;
    read.map_err(|error| Refusal::of_load(order, &error))?
        .ok_or(Refusal::NotFound(order))
}

impl About {
    /// What a person may order now. What was set aside waits for a person, though its history does not say so.
    pub(super) fn choices(&self) -> Vec<Choice> {
        let state = fulfilment::State::clone(&self.seen.saga);
        let open = state.pending().map(|pending| pending.step);
        match (&self.quarantine, open) {
            (Some(Quarantine { cause, detail }), Some(step)) => {
                let waits = Event::NeedsOperator(NeedsOperator {
                    step,
                    cause: *cause,
                    detail: detail.clone(),
                });
                you_may(&Fulfilment::evolve(state, &waits))
            }
            _ => you_may(&state),
        }
    }
}

/// What the bucket shows of a saga.
pub(super) async fn last_shown(context: &Context, order: Uuid) -> Option<SagaStatus> {
    let bucket = &context.board.buckets().status;
    let value = bucket.get(status_key(order)).await.ok().flatten()?;
    serde_json::from_slice(&value).ok()
}

/// Its owner has set it aside, and nobody has ordered anything since.
async fn set_aside(
    context: &Context,
    order: Uuid,
    last: &SagaStatus,
) -> Result<Option<Quarantine>, LoadError> {
    let cause = match last.cause {
        Some(cause @ (Cause::Poisoned | Cause::VersionUnsupported)) => cause,
        _ => return Ok(None),
    };
    let subject = Subject::history(<Fulfilment as Decider>::Event::AGGREGATE, order);
    let store = context.executor.store();
    let history = store
        .load(&subject, Version::NONE, None, Freshness::Leader)
        .await?;
    let ordered_since = history.events.iter().any(|event| {
        event.event_type == "fulfilment.operator_commanded"
            && event.position > Position(last.position)
    });
    let detail = last.detail.clone().unwrap_or_default();
    Ok((!ordered_since).then_some(Quarantine { cause, detail }))
}

/// The history does not know that its handling fails, nor since when the verdict holds; the bucket does.
fn as_the_bucket_has_it(shown: SagaStatus, last: SagaStatus, set_aside: bool) -> SagaStatus {
    if set_aside {
        return SagaStatus {
            status: last.status,
            cause: last.cause,
            detail: last.detail,
            since: last.since,
            deadline: None,
            ..shown
        };
    }
    let same = last.status == shown.status && last.cause == shown.cause;
    SagaStatus {
        since: if same { last.since } else { shown.since },
        ..shown
    }
}
