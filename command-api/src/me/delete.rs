//! DELETE /v1/me: somebody closes his own account, or has himself erased.

use axum::extract::State;

use service_kit::extract::Query;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem};

use crate::answer::Answer;
use crate::customers::close::{Way, close};
use crate::documents::{CommandProblems, IfMatchOptional, Invalid, KeyOptional, NotFound, Stale};
use crate::door::Door;
use crate::erasure::erase;
use crate::if_match::IfMatch;

/// Closes the caller's account. Its sessions end at once; orders stay, and the address stays taken.
///
/// With `erase=true` the person's data becomes unreadable for ever and everywhere: name, address, telephone, picture,
/// delivery addresses. Orders and sums stay, and the e-mail address is free again. This cannot be taken back.
#[utoipa::path(
    delete,
    path = "/v1/me",
    tag = "me",
    operation_id = "delete_me",
    params(Way, KeyOptional, IfMatchOptional),
    responses(
        (status = 204, description = "The account is closed, or the person erased", headers(
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
    Query(way): Query<Way>,
) -> Result<Answer<()>, Problem> {
    let command = door.command("me.delete", &caller, key.as_ref(), &way)?;
    if way.erase {
        return erase(&door, &command, &if_match, caller.subject).await;
    }
    close(&door, &command, &if_match, caller.subject).await
}
