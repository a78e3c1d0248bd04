//! DELETE /v1/customers/{id}: an admin closes an account.

use axum::extract::State;
use uuid::Uuid;

use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem};

use super::close::close;
use crate::answer::Answer;
use crate::documents::{CommandProblems, IfMatchOptional, Invalid, KeyOptional, NotFound, Stale};
use crate::door::Door;
use crate::if_match::IfMatch;

/// Closes a customer's account. Its sessions end; orders and sums stay.
#[utoipa::path(
    delete,
    path = "/v1/customers/{id}",
    tag = "customers",
    operation_id = "remove_customer",
    params(("id" = Uuid, Path, description = "The customer"), KeyOptional, IfMatchOptional),
    responses(
        (status = 204, description = "The account is closed, now or before", headers(
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
) -> Result<Answer<()>, Problem> {
    let command = door.command("customers.remove", &caller, key.as_ref(), &id)?;
    close(&door, &command, &if_match, id).await
}
