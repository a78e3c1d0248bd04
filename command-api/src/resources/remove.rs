//! DELETE /v1/resources/{id}: an admin takes a cloud resource out of the catalogue.

use axum::extract::State;
use uuid::Uuid;

use domain::resource::{Command as Wanted, Remove, Resource, State as ResourceState};
use event_store::{Stop, Work};
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem};

use crate::answer::Answer;
use crate::documents::{CommandProblems, IfMatchOptional, Invalid, KeyOptional, NotFound, Stale};
use crate::door::Door;
use crate::if_match::IfMatch;
use crate::problem::Refusal;

/// Removes a cloud resource. Nobody new gets it; who has it keeps it.
#[utoipa::path(
    delete,
    path = "/v1/resources/{id}",
    tag = "resources",
    operation_id = "remove_resource",
    params(("id" = Uuid, Path, description = "The resource"), KeyOptional, IfMatchOptional),
    responses(
        (status = 204, description = "The resource is removed, now or before", headers(
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, Stale, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn remove_resource(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
) -> Result<Answer<()>, Problem> {
    // Removed is removed for good, so a repeat needs no record: the state says that it is already true.
    let command = door.command("resources.remove", &caller, key.as_ref(), &id)?;
    let decide = |work: &mut Work| {
        match &*work.state::<Resource>(id)? {
            ResourceState::NotAdded => return Err(super::no_such_resource()),
            ResourceState::Removed(_) => {}
            ResourceState::Added(_) => {
                if_match
                    .check(work.version::<Resource>(id)?)
                    .map_err(Stop::rejected)?;
                work.decide::<Resource>(id, Wanted::Remove(Remove))?;
            }
        }
        Ok::<_, Stop<Refusal>>(())
    };
    let executed = door.execute(&command, decide).await?;
    Ok(Answer::nothing().at(executed.position))
}
