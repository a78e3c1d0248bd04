//! DELETE /v1/customers/{id}: an admin closes an account, or erases a person.

use axum::extract::State;
use uuid::Uuid;

use service_kit::extract::{Path, Query};
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem};

use super::close::{Way, close};
use crate::answer::Answer;
use crate::documents::{CommandProblems, IfMatchOptional, Invalid, KeyOptional, NotFound, Stale};
use crate::door::Door;
use crate::erasure::erase;
use crate::if_match::IfMatch;

/// Closes a customer's account. Its sessions end; orders and sums stay.
///
/// With `erase=true` the person's data becomes unreadable for ever and everywhere: name, address, telephone, picture,
/// delivery addresses. Orders and sums stay, and the e-mail address is free again. This cannot be taken back.
#[utoipa::path(
    delete,
    path = "/v1/customers/{id}",
    tag = "customers",
    operation_id = "remove_customer",
    params(Way, ("id" = Uuid, Path, description = "The customer"), KeyOptional, IfMatchOptional),
    responses(
        (status = 204, description = "The account is closed, or the person erased, now or before", headers(
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, Stale, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn remove_customer(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
    Query(way): Query<Way>,
) -> Result<Answer<()>, Problem> {
    let command = door.command("customers.remove", &caller, key.as_ref(), &(id, &way))?;
    if way.erase {
        return erase(&door, &command, &if_match, id).await;
    }
    close(&door, &command, &if_match, id).await
}
