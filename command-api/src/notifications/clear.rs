//! DELETE /v1/notifications/{id}: the caller takes one of his notifications out of his inbox.

use axum::extract::State;
use uuid::Uuid;

use domain::inbox::{Clear, Command as Wanted, Inbox};
use event_store::Work;
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem};

use super::whose;
use crate::answer::Answer;
use crate::documents::{InboxProblems, KeyOptional, KeyReused, NotFound};
use crate::door::Door;

/// Takes one of the caller's notifications out of his inbox, read or not; again is already true. One that is for several
/// people stays in the inboxes of the others.
#[utoipa::path(
    delete,
    path = "/v1/notifications/{id}",
    tag = "notifications",
    operation_id = "clear_notification",
    params(("id" = Uuid, Path, description = "The notification"), KeyOptional),
    responses(
        (status = 204, description = "The notification is not in the inbox, since now or before", headers(
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, InboxProblems, KeyReused,
    ),
)]
pub(crate) async fn clear_notification(
    State(door): State<Door>,
    caller: Caller,
    Path(notification_id): Path<Uuid>,
    key: Option<IdempotencyKey>,
) -> Result<Answer<()>, Problem> {
    let command = door.command(
        "notifications.clear",
        &caller,
        key.as_ref(),
        &notification_id,
    )?;
    let at = whose::place_of(&door, &caller, notification_id).await?;
    let decide = |work: &mut Work| {
        if !command.has_happened(work)? {
            let clear = Clear {
                notification_id: notification_id.into(),
                at,
            };
            work.decide::<Inbox>(caller.subject, Wanted::Clear(clear))?;
        }
        Ok(())
    };
    let executed = door.execute(&command, decide).await?;
    Ok(Answer::nothing().at(executed.position))
}
