//! DELETE /v1/customers/{id}/resources/{resource_id}: an admin takes a cloud resource away from a customer.

use axum::extract::State;
use uuid::Uuid;

use domain::assignment::{Assignment, Command as Wanted, State as AssignmentState, Unassign};
use event_schema::Version;
use event_schema::assignment;
use event_schema::ids::{CustomerId, ResourceId};
use event_store::{Stop, Work};
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem};

use crate::answer::Answer;
use crate::documents::{CommandProblems, IfMatchOptional, Invalid, KeyOptional, NotFound, Stale};
use crate::door::Door;
use crate::if_match::IfMatch;
use crate::problem::Refusal;

/// Takes a cloud resource away from a customer, also one whose account is closed or that is not in the catalogue any
/// more.
#[utoipa::path(
    delete,
    path = "/v1/customers/{id}/resources/{resource_id}",
    tag = "resources",
    operation_id = "unassign_resource",
    params(
        ("id" = Uuid, Path, description = "The customer"),
        ("resource_id" = Uuid, Path, description = "The resource"),
        KeyOptional, IfMatchOptional,
    ),
    responses(
        (status = 204, description = "The customer does not have the resource, since now or before", headers(
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, Stale, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn unassign_resource(
    State(door): State<Door>,
    caller: Caller,
    Path((id, resource_id)): Path<(Uuid, Uuid)>,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
) -> Result<Answer<()>, Problem> {
    let pair = (CustomerId(id), ResourceId(resource_id));
    let assignment_id = assignment::id(pair.0, pair.1);
    let command = door.command("assignments.unassign", &caller, key.as_ref(), &pair)?;
    let decide = |work: &mut Work| {
        let version = work.version::<Assignment>(assignment_id)?;
        if version == Version::NONE {
            return Err(Stop::rejected(Refusal::not_found(
                "the customer never had this resource",
            )));
        }
        let has_it = *work.state::<Assignment>(assignment_id)? == AssignmentState::Assigned;
        if !command.has_happened(work)? && has_it {
            if_match.check(version).map_err(Stop::rejected)?;
            let unassign = Unassign {
                customer_id: pair.0,
                resource_id: pair.1,
            };
            work.decide::<Assignment>(assignment_id, Wanted::Unassign(unassign))?;
        }
        Ok(())
    };
    let executed = door.execute(&command, decide).await?;
    Ok(Answer::nothing().at(executed.position))
}
