//! Read models by hand: pause, resume, rebuild, verify. The work is the projector's; this passes it on over the broker's
//! service `projections` and puts the answer in the API's words.

mod desk;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use service_kit::extract::Path;
use service_kit::{Access, ApiRouter, Problem, Role, routes};

use crate::answer::Answer;
use crate::documents::{DeskProblems, NotFound};
use crate::door::Door;
use desk::Verb;

const ADMIN: Access = Access::Roles(&[Role::Admin]);
/// Where the projections and what is going on with them can be seen.
const LIST: &str = "/v1/projections";

/// The routes of this area.
pub(crate) fn register(api: ApiRouter<Door>) -> ApiRouter<Door> {
    api.routes(ADMIN, routes!(pause))
        .routes(ADMIN, routes!(resume))
        .routes(ADMIN, routes!(rebuild))
        .routes(ADMIN, routes!(verify))
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ProjectionChanged)]
pub(crate) struct Changed {
    /// The projection.
    name: String,
    /// paused, resumed or rebuilding.
    result: String,
}

/// What a comparison with the log found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ProjectionVerified)]
pub(crate) struct Verified {
    /// The projection.
    name: String,
    /// Whether the rows are what the log says.
    same: bool,
    /// At which position they were compared.
    position: u64,
    /// How many rows there are.
    rows: u64,
    /// The first difference, if there is one.
    difference: Option<Difference>,
}

/// A row that is not what the log says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ProjectionDifference)]
pub(crate) struct Difference {
    /// The table.
    table: String,
    /// The row's key.
    key: String,
    /// The column; none when the whole row is missing or too much.
    column: Option<String>,
    /// What the live row has.
    live: Option<Value>,
    /// What the log says.
    log: Option<Value>,
}

/// Stops writing a projection; queries go on with the rows as they are, and say at which position that is.
#[utoipa::path(
    post, path = "/v1/projections/{name}/pause", tag = "projections", operation_id = "pause_projection",
    params(("name" = String, Path, description = "The projection")),
    responses((status = 200, description = "It is paused, now or already", body = Changed), NotFound, DeskProblems)
)]
async fn pause(
    State(door): State<Door>,
    Path(name): Path<String>,
) -> Result<Answer<Changed>, Problem> {
    Ok(Answer::ok(desk::ask(&door.nats, Verb::Pause, &name).await?))
}

/// Goes on with a projection that is paused, and tries again what is parked.
#[utoipa::path(
    post, path = "/v1/projections/{name}/resume", tag = "projections", operation_id = "resume_projection",
    params(("name" = String, Path, description = "The projection")),
    responses((status = 200, description = "It goes on", body = Changed), NotFound, DeskProblems)
)]
async fn resume(
    State(door): State<Door>,
    Path(name): Path<String>,
) -> Result<Answer<Changed>, Problem> {
    Ok(Answer::ok(
        desk::ask(&door.nats, Verb::Resume, &name).await?,
    ))
}

/// Replays the log into fresh tables while the old ones serve, then swaps.
#[utoipa::path(
    post, path = "/v1/projections/{name}/rebuild", tag = "projections", operation_id = "rebuild_projection",
    params(("name" = String, Path, description = "The projection")),
    responses((status = 202, description = "It has begun; the list of projections shows how far it is", body = Changed), NotFound, DeskProblems)
)]
async fn rebuild(
    State(door): State<Door>,
    Path(name): Path<String>,
) -> Result<Answer<Changed>, Problem> {
    let begun = desk::ask(&door.nats, Verb::Rebuild, &name).await?;
    Ok(Answer::accepted(LIST.to_owned(), begun))
}

/// Folds the log anew and compares with the rows; names the first difference.
#[utoipa::path(
    post, path = "/v1/projections/{name}/verify", tag = "projections", operation_id = "verify_projection",
    params(("name" = String, Path, description = "The projection")),
    responses((status = 200, description = "The comparison", body = Verified), NotFound, DeskProblems)
)]
async fn verify(
    State(door): State<Door>,
    Path(name): Path<String>,
) -> Result<Answer<Verified>, Problem> {
    Ok(Answer::ok(
        desk::ask(&door.nats, Verb::Verify, &name).await?,
    ))
}
