//! POST /v1/resources: an admin adds a cloud resource to the catalogue.

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use domain::resource::{Add, Command as Wanted, Details, Resource};
use event_schema::Version;
use event_store::Work;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem, Validation};

use super::ResourceBody;
use crate::answer::Answer;
use crate::body::Fields;
use crate::documents::{CommandProblems, Invalid, KeyRequired};
use crate::door::Door;

/// A cloud resource to add.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct AddResource {
    #[schema(max_length = 200, example = "Small machine")]
    name: String,
    /// What kind of thing it is, such as `vm`, `database`, `storage`.
    #[schema(max_length = 100, example = "vm")]
    r#type: String,
    /// Where it runs.
    #[schema(max_length = 100, example = "eu-central-1")]
    region: String,
}

/// Adds a cloud resource.
#[utoipa::path(
    post,
    path = "/v1/resources",
    tag = "resources",
    operation_id = "add_resource",
    params(KeyRequired),
    request_body = AddResource,
    responses(
        (status = 201, description = "The resource is in the catalogue", body = ResourceBody, headers(
            ("Location" = String, description = "Where the resource is"),
            ("ETag" = String, description = "The resource's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        CommandProblems, Invalid,
    ),
)]
pub(crate) async fn add_resource(
    State(door): State<Door>,
    caller: Caller,
    key: IdempotencyKey,
    Fields(body): Fields<AddResource>,
) -> Result<Answer<ResourceBody>, Problem> {
    let AddResource {
        name,
        r#type: kind,
        region,
    } = body;
    let mut validation = Validation::new();
    let details = super::check(&mut validation, &Details { name, kind, region });
    validation.finish()?;

    let command = door.command("resources.add", &caller, Some(&key), &details)?;
    let id = command.id().uuid();
    let decide = |work: &mut Work| {
        if let Some(position) = command.has_created::<Resource>(work)? {
            return Ok(Some(position));
        }
        let add = Add {
            details: details.clone(),
        };
        work.decide::<Resource>(id, Wanted::Add(add))?;
        Ok(None)
    };
    let executed = door.execute(&command, decide).await?;
    let position = executed.value.unwrap_or(executed.position);
    Ok(Answer::created(
        format!("/v1/resources/{id}"),
        ResourceBody::new(id, details),
    )
    .at(position)
    .version(Version(1)))
}
