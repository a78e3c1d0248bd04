//! GET /v1/customers/{id}/resources and one of them: for admins, and for a customer about himself.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use event_schema::ids::{CustomerId, ResourceId};
use event_schema::{Timestamp, assignment};
use service_kit::cursor::{Page, PageParams, PageRequest};
use service_kit::extract::Path;
use service_kit::{Access, ApiRouter, Caller, Problem, Role, routes};

use super::NAME;
use crate::http::{Answer, Asked, ReadSide, database};
use crate::read_models::customers;

const READS: &[&str] = &[NAME];
/// Also the customers, to tell somebody who has nothing from nobody.
const READS_OF_LIST: &[&str] = &[NAME, customers::NAME];

/// A cloud resource that a customer has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct AssignedResource {
    /// The pair's own id.
    pub id: Uuid,
    /// Who has it.
    pub customer_id: Uuid,
    /// Which resource.
    pub resource_id: Uuid,
    /// The resource's name, as it is now.
    #[schema(example = "Small machine")]
    pub name: String,
    /// What kind of thing it is.
    #[schema(example = "vm")]
    pub r#type: String,
    /// Where it runs.
    #[schema(example = "eu-central-1")]
    pub region: String,
    /// Since when the customer has it.
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub assigned_at: Timestamp,
    #[serde(skip)]
    version: i64,
}

/// What the customer has, with what each resource is; the rest is the caller's.
macro_rules! assigned {
    ($rest:literal) => {
        concat!(
            "select a.id, a.customer_id, a.resource_id, a.assigned_at, a.version, r.name, r.type, r.region
             from read.assignments a join read.resources r on r.id = a.resource_id
             where a.assigned ",
            $rest
        )
    };
}

pub(super) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(Access::Authenticated, routes!(list))
        .routes(Access::Authenticated, routes!(show))
}

/// The cloud resources that a customer has, in the order in which he got them.
#[utoipa::path(
    get, path = "/v1/customers/{id}/resources", tag = "resources", operation_id = "list_assigned_resources",
    params(("id" = Uuid, Path, description = "The customer"), PageParams),
    responses(
        (status = 200, description = "A page of what the customer has", body = Page<AssignedResource>),
        (status = 404, description = "No such customer, or somebody else"),
    )
)]
async fn list(
    State(read): State<ReadSide>,
    caller: Caller,
    asked: Asked,
    Path(id): Path<Uuid>,
    page: PageRequest<(Timestamp, Uuid)>,
) -> Result<Answer<Page<AssignedResource>>, Problem> {
    himself_or_admin(&caller, id)?;
    let reading = read.reading(asked, READS_OF_LIST, None).await?;
    let is_known: bool =
        sqlx::query_scalar("select exists (select 1 from read.customers where id = $1)")
            .bind(id)
            .fetch_one(read.pool())
            .await
            .map_err(database)?;
    if !is_known {
        return Err(reading.nothing(format!("there is no customer {id}")));
    }
    let (at, pair) = page.after.unzip();
    let rows: Vec<AssignedResource> = sqlx::query_as(assigned!(
        "and a.customer_id = $1
         and ($2::timestamptz is null or (a.assigned_at, a.id) > ($2, $3))
         order by a.assigned_at, a.id limit $4"
    ))
    .bind(id)
    .bind(at.map(jiff_sqlx::Timestamp::from))
    .bind(pair)
    .bind(page.fetch())
    .fetch_all(read.pool())
    .await
    .map_err(database)?;
    Ok(reading.answer(Page::from_surplus(rows, page.limit, |row| {
        (row.assigned_at, row.id)
    })))
}

/// One cloud resource that a customer has.
#[utoipa::path(
    get, path = "/v1/customers/{id}/resources/{resource_id}", tag = "resources",
    operation_id = "show_assigned_resource",
    params(
        ("id" = Uuid, Path, description = "The customer"),
        ("resource_id" = Uuid, Path, description = "The resource"),
    ),
    responses(
        (status = 200, description = "What the customer has", body = AssignedResource),
        (status = 404, description = "The customer does not have it, or is somebody else"),
    )
)]
async fn show(
    State(read): State<ReadSide>,
    caller: Caller,
    asked: Asked,
    Path((id, resource_id)): Path<(Uuid, Uuid)>,
) -> Result<Answer<AssignedResource>, Problem> {
    himself_or_admin(&caller, id)?;
    let pair = assignment::id(CustomerId(id), ResourceId(resource_id));
    let reading = read.reading(asked, READS, Some(pair)).await?;
    let row: Option<AssignedResource> = sqlx::query_as(assigned!("and a.id = $1"))
        .bind(pair)
        .fetch_optional(read.pool())
        .await
        .map_err(database)?;
    let row = row.ok_or_else(|| {
        reading.nothing(format!(
            "the customer {id} does not have the resource {resource_id}"
        ))
    })?;
    let version = row.version;
    Ok(reading.answer(row).version(version))
}

/// What others have does not exist for a caller who is no admin.
fn himself_or_admin(caller: &Caller, customer: Uuid) -> Result<(), Problem> {
    if caller.is(Role::Admin) || caller.subject == customer {
        Ok(())
    } else {
        Err(Problem::not_found(format!(
            "there is no customer {customer}"
        )))
    }
}
