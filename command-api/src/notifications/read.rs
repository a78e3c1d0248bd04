//! POST /v1/notifications/{id}/read: the caller has read one of his notifications.

use axum::extract::State;
use uuid::Uuid;

use domain::inbox::{Command as Wanted, Inbox, Read};
use event_store::Work;
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem};

use super::whose;
use crate::answer::Answer;
use crate::documents::{InboxProblems, KeyOptional, KeyReused, NotFound};
use crate::door::Door;

/// Marks one of the caller's notifications as read; again is already true. One that is for several people is read by him
/// alone.
#[utoipa::path(
    post,
    path = "/v1/notifications/{id}/read",
    tag = "notifications",
    operation_id = "read_notification",
    params(("id" = Uuid, Path, description = "The notification"), KeyOptional),
    responses(
        (status = 204, description = "The notification is read, since now or before", headers(
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, InboxProblems, KeyReused,
    ),
)]
pub(crate) async fn read_notification(
    State(door): State<Door>,
    caller: Caller,
    Path(notification_id): Path<Uuid>,
    key: Option<IdempotencyKey>,
) -> Result<Answer<()>, Problem> {
    let command = door.command(
        "notifications.read",
        &caller,
        key.as_ref(),
        &notification_id,
    )?;
    let at = whose::place_of(&door, &caller, notification_id).await?;
    let decide = |work: &mut Work| {
        if !command.has_happened(work)? {
            let read = Read {
                notification_id: notification_id.into(),
                at,
            };
            work.decide::<Inbox>(caller.subject, Wanted::Read(read))?;
        }
        Ok(())
    };
    let executed = door.execute(&command, decide).await?;
    Ok(Answer::nothing().at(executed.position))
}
