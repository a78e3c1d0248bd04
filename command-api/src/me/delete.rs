//! DELETE /v1/me: somebody closes his own account.

use axum::extract::State;

use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem};

use crate::answer::Answer;
use crate::customers::close::close;
use crate::documents::{CommandProblems, IfMatchOptional, Invalid, KeyOptional, NotFound, Stale};
use crate::door::Door;
use crate::if_match::IfMatch;

/// Closes the caller's account. Its sessions end at once; orders stay, and the address stays taken.
#[utoipa::path(
    delete,
    path = "/v1/me",
    tag = "me",
    operation_id = "delete_me",
    params(KeyOptional, IfMatchOptional),
    responses(
        (status = 204, description = "The account is closed", headers(
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, Stale, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn delete_me(
    State(door): State<Door>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
) -> Result<Answer<()>, Problem> {
    let command = door.command("me.delete", &caller, key.as_ref(), &())?;
    close(&door, &command, &if_match, caller.subject).await
}
