//! GET /v1/partners and /v1/partners/{id}: for admins, and for a partner about himself.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use event_schema::Timestamp;
use service_kit::cursor::{Page, PageParams, PageRequest};
use service_kit::extract::{Path, Query};
use service_kit::{Access, ApiRouter, Caller, Problem, Role, routes};

use super::NAME;
use crate::http::{Answer, Asked, ReadSide, database};
use crate::read_models::anywhere;

const READS: &[&str] = &[NAME];
const ALLOWED: Access = Access::Roles(&[Role::Admin, Role::Partner]);

/// A partner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Partner {
    /// Its id.
    pub id: Uuid,
    /// Name of the business.
    pub title: String,
    /// The brand shown to customers.
    pub brand: String,
    /// Business telephone number.
    pub phone: String,
    /// Business e-mail address.
    pub email: String,
    /// Where orders are picked up.
    pub address: String,
    /// Where the partner is told of orders.
    pub webhook_url: Option<String>,
    /// Whether somebody checked the business.
    pub verified: bool,
    /// Whether the partner sells.
    pub enabled: bool,
    /// Why nothing is sent to `webhook_url` any more, as a short code: the partner's system said that it is gone. Enabling
    /// the partner, or changing its data, makes it tried again.
    pub webhook_disabled: Option<String>,
    /// When the partner was added.
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub created_at: Timestamp,
    /// When the partner last changed.
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub updated_at: Timestamp,
    #[serde(skip)]
    version: i64,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only partners that are verified, or only those that are not.
    verified: Option<bool>,
    /// Only partners that sell, or only those that do not.
    enabled: Option<bool>,
    /// Only partners with this text in title, brand or e-mail address; capitals do not matter.
    q: Option<String>,
}

pub(super) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(ALLOWED, routes!(list))
        .routes(ALLOWED, routes!(show))
}

/// All partners, by title; a partner sees himself.
#[utoipa::path(
    get, path = "/v1/partners", tag = "partners", operation_id = "list_partners", params(Filter, PageParams),
    responses((status = 200, description = "A page of partners", body = Page<Partner>))
)]
async fn list(
    State(read): State<ReadSide>,
    caller: Caller,
    asked: Asked,
    page: PageRequest<(String, Uuid)>,
    Query(filter): Query<Filter>,
) -> Result<Answer<Page<Partner>>, Problem> {
    let reading = read.reading(asked, READS, None).await?;
    let (title, id) = page.after.clone().unzip();
    let rows: Vec<Partner> = sqlx::query_as(
        "select * from read.partners
         where ($1::uuid is null or id = $1) and ($2::text is null or (title, id) > ($2, $3))
           and ($5::boolean is null or verified = $5) and ($6::boolean is null or enabled = $6)
           and ($7::text is null or title ilike $7 or brand ilike $7 or email ilike $7)
         order by title, id limit $4",
    )
    .bind(only(&caller))
    .bind(title)
    .bind(id)
    .bind(page.fetch())
    .bind(filter.verified)
    .bind(filter.enabled)
    .bind(filter.q.as_deref().map(anywhere))
    .fetch_all(read.pool())
    .await
    .map_err(database)?;
    Ok(reading.answer(Page::from_surplus(rows, page.limit, |row| {
        (row.title.clone(), row.id)
    })))
}

/// One partner.
#[utoipa::path(
    get, path = "/v1/partners/{id}", tag = "partners", operation_id = "show_partner", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The partner", body = Partner), (status = 404, description = "No such partner"))
)]
async fn show(
    State(read): State<ReadSide>,
    caller: Caller,
    asked: Asked,
    Path(id): Path<Uuid>,
) -> Result<Answer<Partner>, Problem> {
    let reading = read.reading(asked, READS, Some(id)).await?;
    let row: Option<Partner> = sqlx::query_as(
        "select * from read.partners where id = $1 and ($2::uuid is null or id = $2)",
    )
    .bind(id)
    .bind(only(&caller))
    .fetch_optional(read.pool())
    .await
    .map_err(database)?;
    let row = row.ok_or_else(|| reading.nothing(format!("there is no partner {id}")))?;
    let version = row.version;
    Ok(reading.answer(row).version(version))
}

/// Who is shown: everybody to an admin, himself to a partner.
fn only(caller: &Caller) -> Option<Uuid> {
    if caller.is(Role::Admin) {
        None
    } else {
        Some(caller.partner_id().unwrap_or(caller.subject))
    }
}
