//! GET /v1/customers and /v1/customers/{id} for admins, GET /v1/me for everybody about himself.

use axum::extract::State;
use serde::Serialize;
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use event_schema::Timestamp;
use service_kit::cursor::{Page, PageParams, PageRequest};
use service_kit::extract::Path;
use service_kit::{Access, ApiRouter, Caller, Problem, Role, routes};

use super::NAME;
use super::preferences::{Channels, Preferences};
use crate::http::{Answer, Asked, ReadSide, database};
use crate::read_models::notification_agents::QuietHours;

const READS: &[&str] = &[NAME];
/// Where everybody finds his own picture.
const AVATAR: &str = "/v1/me/avatar";
const ADMINS: Access = Access::Roles(&[Role::Admin]);

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Customer {
    /// Its id.
    pub id: Uuid,
    /// Full name; null when the personal data was erased.
    pub name: Option<String>,
    /// E-mail address; null when the personal data was erased.
    pub email: Option<String>,
    /// Whether the person showed that the address is his.
    pub email_verified: bool,
    /// What the person may do.
    pub role: String,
    /// Whom a partner's person acts for.
    pub partner_id: Option<Uuid>,
    /// Telephone number.
    pub phone: Option<String>,
    /// Day of birth.
    pub birth_date: Option<String>,
    /// `active`, `deactivated` or `erased`.
    pub status: String,
    /// When the customer was added.
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub created_at: Timestamp,
    #[serde(skip)]
    avatar: Option<String>,
    #[serde(skip)]
    preferences: Option<Json<Preferences>>,
    #[serde(skip)]
    version: i64,
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Me {
    /// The caller's id.
    pub id: Uuid,
    /// What the token lets him do.
    pub roles: Vec<Role>,
    /// Full name; null for a caller who is no customer of the shop, and after erasure.
    pub name: Option<String>,
    /// E-mail address; null as the name.
    pub email: Option<String>,
    /// Whether the caller showed that the address is his.
    pub email_verified: bool,
    /// The partner that the caller acts for.
    pub partner_id: Option<Uuid>,
    /// Telephone number.
    pub phone: Option<String>,
    /// Day of birth.
    pub birth_date: Option<String>,
    /// `active`, `deactivated` or `erased`; null for a caller who is no customer of the shop.
    pub status: Option<String>,
    /// Where the caller's picture is, if there is one.
    pub avatar_url: Option<String>,
    /// By which ways the caller is told things.
    pub notification_channels: Channels,
    /// When the caller is left alone; null for never.
    pub quiet_hours: Option<QuietHours>,
    /// When the customer was added.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_at: Option<Timestamp>,
}

pub(crate) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(ADMINS, routes!(list))
        .routes(ADMINS, routes!(show))
        .routes(Access::Authenticated, routes!(me))
}

/// All customers, oldest first.
#[utoipa::path(
    get, path = "/v1/customers", tag = "customers", operation_id = "list_customers", params(PageParams),
    responses((status = 200, description = "A page of customers", body = Page<Customer>))
)]
async fn list(
    State(read): State<ReadSide>,
    asked: Asked,
    page: PageRequest<(Timestamp, Uuid)>,
) -> Result<Answer<Page<Customer>>, Problem> {
    let reading = read.reading(asked, READS, None).await?;
    let (at, id) = page.after.unzip();
    let rows: Vec<Customer> = sqlx::query_as(
        "select id, name, email, email_verified, role, partner_id, phone, birth_date, status, created_at, avatar, preferences, version
         from read.customers
         where $1::timestamptz is null or (created_at, id) > ($1, $2)
         order by created_at, id limit $3",
    )
    .bind(at.map(jiff_sqlx::Timestamp::from))
    .bind(id)
    .bind(page.fetch())
    .fetch_all(read.pool())
    .await
    .map_err(database)?;
    Ok(reading.answer(Page::from_surplus(rows, page.limit, |row| {
        (row.created_at, row.id)
    })))
}

/// One customer.
#[utoipa::path(
    get, path = "/v1/customers/{id}", tag = "customers", operation_id = "show_customer", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The customer", body = Customer), (status = 404, description = "No such customer"))
)]
async fn show(
    State(read): State<ReadSide>,
    asked: Asked,
    Path(id): Path<Uuid>,
) -> Result<Answer<Customer>, Problem> {
    let reading = read.reading(asked, READS, Some(id)).await?;
    let row = find(&read, id)
        .await?
        .ok_or_else(|| reading.nothing(format!("there is no customer {id}")))?;
    let version = row.version;
    Ok(reading.answer(row).version(version))
}

/// Who the caller is: his own data, or only what his token says when he is no customer of the shop.
#[utoipa::path(
    get, path = "/v1/me", tag = "customers", operation_id = "show_me",
    responses((status = 200, description = "The caller", body = Me))
)]
async fn me(
    State(read): State<ReadSide>,
    caller: Caller,
    asked: Asked,
) -> Result<Answer<Me>, Problem> {
    let reading = read.reading(asked, READS, Some(caller.subject)).await?;
    let row = find(&read, caller.subject).await?;
    let version = row.as_ref().map(|row| row.version);
    let partner_id = caller.partner_id();
    let chosen = row.as_ref().and_then(|row| row.preferences.clone());
    let preferences = chosen.map(|Json(chosen)| chosen).unwrap_or_default();
    let (notification_channels, quiet_hours) = (preferences.channels(), preferences.quiet_hours());
    let answer = reading.answer(match row {
        Some(row) => Me {
            id: row.id,
            roles: caller.roles,
            name: row.name,
            email: row.email,
            email_verified: row.email_verified,
            partner_id,
            phone: row.phone,
            birth_date: row.birth_date,
            status: Some(row.status),
            avatar_url: row.avatar.map(|_| AVATAR.to_owned()),
            notification_channels,
            quiet_hours,
            created_at: Some(row.created_at),
        },
        None => Me {
            id: caller.subject,
            roles: caller.roles,
            name: None,
            email: None,
            email_verified: false,
            partner_id,
            phone: None,
            birth_date: None,
            status: None,
            avatar_url: None,
            notification_channels,
            quiet_hours,
            created_at: None,
        },
    });
    Ok(match version {
        Some(version) => answer.version(version),
        None => answer,
    })
}

async fn find(read: &ReadSide, id: Uuid) -> Result<Option<Customer>, Problem> {
    sqlx::query_as(
        "select id, name, email, email_verified, role, partner_id, phone, birth_date, status, created_at, avatar, preferences, version
         from read.customers where id = $1",
    )
    .bind(id)
    .fetch_optional(read.pool())
    .await
    .map_err(database)
}
