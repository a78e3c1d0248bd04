//! GET /v1/resources and /v1/resources/{id}: the catalogue of cloud resources, for everybody.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use event_schema::Timestamp;
use service_kit::cursor::{Page, PageParams, PageRequest};
use service_kit::extract::{Path, Query};
use service_kit::{Access, ApiRouter, Problem, routes};

use super::NAME;
use crate::http::{Answer, Asked, ReadSide, database};
use crate::read_models::anywhere;

const READS: &[&str] = &[NAME];

/// A cloud resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Resource {
    /// Its id.
    pub id: Uuid,
    /// Name.
    #[schema(example = "Small machine")]
    pub name: String,
    /// What kind of thing it is.
    #[schema(example = "vm")]
    pub r#type: String,
    /// Where it runs.
    #[schema(example = "eu-central-1")]
    pub region: String,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub updated_at: Timestamp,
    #[serde(skip)]
    version: i64,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only this kind of thing.
    r#type: Option<String>,
    /// Only what runs there.
    region: Option<String>,
    /// Only resources with this text in name, type or region; capitals do not matter.
    q: Option<String>,
}

pub(super) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(Access::Public, routes!(list))
        .routes(Access::Public, routes!(show))
}

/// The cloud resources that customers can be given, by name.
#[utoipa::path(
    get, path = "/v1/resources", tag = "resources", operation_id = "list_resources", params(Filter, PageParams),
    responses((status = 200, description = "A page of resources", body = Page<Resource>))
)]
async fn list(
    State(read): State<ReadSide>,
    asked: Asked,
    page: PageRequest<(String, Uuid)>,
    Query(filter): Query<Filter>,
) -> Result<Answer<Page<Resource>>, Problem> {
    let reading = read.reading(asked, READS, None).await?;
    let (name, id) = page.after.clone().unzip();
    let rows: Vec<Resource> = sqlx::query_as(
        "select * from read.resources
         where not removed
           and ($1::text is null or type = $1)
           and ($2::text is null or region = $2)
           and ($3::text is null or name ilike $3 or type ilike $3 or region ilike $3)
           and ($4::text is null or (name, id) > ($4, $5))
         order by name, id limit $6",
    )
    .bind(filter.r#type)
    .bind(filter.region)
    .bind(filter.q.as_deref().map(anywhere))
    .bind(name)
    .bind(id)
    .bind(page.fetch())
    .fetch_all(read.pool())
    .await
    .map_err(database)?;
    Ok(reading.answer(Page::from_surplus(rows, page.limit, |row| {
        (row.name.clone(), row.id)
    })))
}

/// One cloud resource of the catalogue.
#[utoipa::path(
    get, path = "/v1/resources/{id}", tag = "resources", operation_id = "show_resource",
    params(("id" = Uuid, Path, description = "The resource")),
    responses((status = 200, description = "The resource", body = Resource), (status = 404, description = "No such resource"))
)]
async fn show(
    State(read): State<ReadSide>,
    asked: Asked,
    Path(id): Path<Uuid>,
) -> Result<Answer<Resource>, Problem> {
    let reading = read.reading(asked, READS, Some(id)).await?;
    let row: Option<Resource> =
        sqlx::query_as("select * from read.resources where id = $1 and not removed")
            .bind(id)
            .fetch_optional(read.pool())
            .await
            .map_err(database)?;
    let row = row.ok_or_else(|| reading.nothing(format!("there is no resource {id}")))?;
    let version = row.version;
    Ok(reading.answer(row).version(version))
}
