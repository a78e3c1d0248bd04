//! POST /v1/notification-deliveries/{id}/replay: an admin has a message sent to a partner's system once more.

use axum::extract::State;
use serde_json::json;
use uuid::Uuid;

use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem};

use super::{LIST, Replayed, desk};
use crate::answer::Answer;
use crate::documents::{KeyOptional, NotFound, ReplayProblems};
use crate::door::Door;
use crate::notifications::history_of;

/// Sends a message to a partner's system once more, under its old `webhook-id`, by which the partner tells a repeat. What
/// goes to people is not repeated: they could not tell.
#[utoipa::path(
    post,
    path = "/v1/notification-deliveries/{id}/replay",
    tag = "notifications",
    operation_id = "replay_notification_delivery",
    params(("id" = Uuid, Path, description = "The message"), KeyOptional),
    responses(
        (status = 202, description = "It will be sent once more; the list of messages shows what becomes of it", body = Replayed),
        NotFound, ReplayProblems,
    ),
)]
pub(crate) async fn replay_notification_delivery(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: Option<IdempotencyKey>,
) -> Result<Answer<Replayed>, Problem> {
    let command = door.command("notification_deliveries.replay", &caller, key.as_ref(), &id)?;
    let history = history_of(&door, id).await?;
    let wanted = json!({"delivery_id": id, "history_id": history});
    let replayed = desk::order(&door.nats, &command, &wanted).await?;
    Ok(Answer::accepted(format!("{LIST}/{id}"), replayed))
}
