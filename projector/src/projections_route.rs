//! GET /v1/projections: where every projection stands, for admins.

use axum::extract::State;

use service_kit::cursor::Page;
use service_kit::{Access, ApiRouter, Problem, Role, routes};

use crate::http::{self, ReadSide, database};
use crate::status::{self, ProjectionStatus, StatusError};

pub(crate) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(Access::Roles(&[Role::Admin]), routes!(list))
}

/// Every projection: position, lag, rate and what is parked.
#[utoipa::path(
    get, path = "/v1/projections", tag = "projections", operation_id = "list_projections",
    responses((status = 200, description = "The projections", body = Page<ProjectionStatus>))
)]
async fn list(
    State(read): State<ReadSide>,
) -> Result<service_kit::extract::Json<Page<ProjectionStatus>>, Problem> {
    let data = status::list(read.pool(), read.store())
        .await
        .map_err(|error| match error {
            StatusError::Database(error) => database(error),
            StatusError::Log(error) => http::log(error),
        })?;
    Ok(service_kit::extract::Json(Page {
        data,
        next_cursor: None,
        has_more: false,
    }))
}
