//! PATCH /v1/resources/{id}: an admin describes a cloud resource anew; what is not named stays.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use domain::resource::{Change, Command as Wanted, Details, Resource};
use event_store::{Stop, Work};
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem, Validation};

use super::ResourceBody;
use crate::answer::Answer;
use crate::body::Fields;
use crate::documents::{CommandProblems, IfMatchOptional, Invalid, KeyOptional, NotFound, Stale};
use crate::door::Door;
use crate::if_match::IfMatch;

/// What to change; what is not named stays.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ChangeResource {
    #[serde(default)]
    #[schema(max_length = 200, example = "Large machine")]
    name: Option<String>,
    /// What kind of thing it is.
    #[serde(default)]
    #[schema(max_length = 100, example = "vm")]
    r#type: Option<String>,
    /// Where it runs.
    #[serde(default)]
    #[schema(max_length = 100, example = "eu-west-1")]
    region: Option<String>,
}

/// Changes a cloud resource. Who has it sees it as it is now.
#[utoipa::path(
    patch,
    path = "/v1/resources/{id}",
    tag = "resources",
    operation_id = "change_resource",
    params(("id" = Uuid, Path, description = "The resource"), KeyOptional, IfMatchOptional),
    request_body = ChangeResource,
    responses(
        (status = 200, description = "The resource as it is now", body = ResourceBody, headers(
            ("ETag" = String, description = "The resource's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, Stale, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn change_resource(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
    Fields(body): Fields<ChangeResource>,
) -> Result<Answer<ResourceBody>, Problem> {
    let command = door.command("resources.change", &caller, key.as_ref(), &(id, &body))?;
    let decide = |work: &mut Work| {
        let state = work.state::<Resource>(id)?;
        let known = state.current().ok_or_else(super::no_such_resource)?;
        if !command.has_happened(work)? {
            if_match
                .check(work.version::<Resource>(id)?)
                .map_err(Stop::rejected)?;
            let ChangeResource {
                name,
                r#type: kind,
                region,
            } = body.clone();
            let wanted = Details {
                name: name.unwrap_or_else(|| known.name.clone()),
                kind: kind.unwrap_or_else(|| known.kind.clone()),
                region: region.unwrap_or_else(|| known.region.clone()),
            };
            let mut validation = Validation::new();
            let details = super::check(&mut validation, &wanted);
            validation.finish().map_err(Stop::rejected)?;
            work.decide::<Resource>(id, Wanted::Change(Change { details }))?;
        }
        let state = work.state::<Resource>(id)?;
        let details = state.current().ok_or_else(super::no_such_resource)?;
        let body = ResourceBody::new(id, details.clone());
        Ok((body, work.version::<Resource>(id)?))
    };
    let executed = door.execute(&command, decide).await?;
    let (body, version) = executed.value;
    Ok(Answer::ok(body).at(executed.position).version(version))
}
