//! POST /v1/customers/{id}/resources: an admin gives a customer a cloud resource.
//!
//! Customer, resource and pair are one decision: the customer's account is open and the resource is in the catalogue at
//! the very position at which the pair is recorded.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use domain::assignment::{Assign, Assignment, Command as Wanted};
use domain::customer::{self, Customer};
use domain::resource::Resource;
use event_schema::assignment;
use event_schema::ids::{CustomerId, ResourceId};
use event_store::{Stop, Work};
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem};

use crate::answer::Answer;
use crate::body::Fields;
use crate::documents::{CommandProblems, Invalid, KeyRequired, NotFound};
use crate::door::Door;
use crate::problem::Refusal;
use crate::resources::no_such_resource;

/// What the customer gets.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct AssignResource {
    /// A resource of the catalogue.
    #[schema(example = "0192f0c1-2d3e-7f40-8a51-6b7c8d9e0f12")]
    resource_id: Uuid,
}

/// The pair.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = AssignmentAnswer)]
pub(crate) struct AssignmentBody {
    /// The pair's own id.
    id: Uuid,
    customer_id: Uuid,
    resource_id: Uuid,
}

/// Gives a customer a cloud resource. One that he has already stays his, and nothing more happens.
#[utoipa::path(
    post,
    path = "/v1/customers/{id}/resources",
    tag = "resources",
    operation_id = "assign_resource",
    params(("id" = Uuid, Path, description = "The customer"), KeyRequired),
    request_body = AssignResource,
    responses(
        (status = 201, description = "The customer has the resource, since now or before", body = AssignmentBody, headers(
            ("Location" = String, description = "Where the pair is"),
            ("ETag" = String, description = "The pair's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        (status = 409, description = "`account_closed`: the customer's account is closed", body = Problem,
            content_type = "application/problem+json"),
        NotFound, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn assign_resource(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
    Fields(body): Fields<AssignResource>,
) -> Result<Answer<AssignmentBody>, Problem> {
    let resource_id = body.resource_id;
    let pair = (CustomerId(id), ResourceId(resource_id));
    let assignment_id = assignment::id(pair.0, pair.1);
    let command = door.command("assignments.assign", &caller, Some(&key), &pair)?;
    let decide = |work: &mut Work| {
        // A late repeat does not give back what was taken away since.
        if !command.has_happened(work)? {
            work.prefetch::<Customer>(&[id]);
            work.prefetch::<Resource>(&[resource_id]);
            work.prefetch::<Assignment>(&[assignment_id]);
            match &*work.state::<Customer>(id)? {
                customer::State::Added(_) => {}
                customer::State::Deactivated(_) => {
                    return Err(Stop::rejected(customer::Rejection::Deactivated));
                }
                customer::State::NotAdded | customer::State::Erased => {
                    return Err(Stop::rejected(Refusal::not_found(
                        "there is no such customer",
                    )));
                }
            }
            if work.state::<Resource>(resource_id)?.current().is_none() {
                return Err(no_such_resource());
            }
            let assign = Assign {
                customer_id: pair.0,
                resource_id: pair.1,
            };
            work.decide::<Assignment>(assignment_id, Wanted::Assign(assign))?;
        }
        Ok(work.version::<Assignment>(assignment_id)?)
    };
    let executed = door.execute(&command, decide).await?;
    let body = AssignmentBody {
        id: assignment_id,
        customer_id: id,
        resource_id,
    };
    Ok(
        Answer::created(format!("/v1/customers/{id}/resources/{resource_id}"), body)
            .at(executed.position)
            .version(executed.value),
    )
}
