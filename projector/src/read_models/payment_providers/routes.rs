//! GET /v1/payment-providers: for admins.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use event_schema::Timestamp;
use service_kit::cursor::{Page, PageParams, PageRequest};
use service_kit::{Access, ApiRouter, Problem, Role, routes};

use super::NAME;
use crate::http::{Answer, Asked, ReadSide, database};

const READS: &[&str] = &[NAME];
const ADMINS: Access = Access::Roles(&[Role::Admin]);

/// A payment provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct PaymentProvider {
    /// Its name in the API.
    #[schema(example = "stripe")]
    pub id: String,
    /// Its name for people.
    #[schema(example = "Card")]
    pub title: String,
    /// Whether new orders may be paid with it.
    pub active: bool,
    /// Whether customers may pay on its hosted page.
    pub checkout: bool,
    /// Whether it is the one that the settings name, so that new orders are paid with it.
    pub configured: bool,
    /// When it was last set; null while nobody has.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[sqlx(try_from = "MaybeTime")]
    pub updated_at: Option<Timestamp>,
}

/// A time that may be missing.
#[derive(Debug, Clone, Copy, sqlx::Type)]
#[sqlx(transparent)]
struct MaybeTime(Option<jiff_sqlx::Timestamp>);

impl From<MaybeTime> for Option<Timestamp> {
    fn from(time: MaybeTime) -> Self {
        time.0.map(jiff_sqlx::Timestamp::to_jiff)
    }
}

pub(crate) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(ADMINS, routes!(list))
}

/// The payment provider that the settings name, and those that somebody has set, by id.
#[utoipa::path(
    get, path = "/v1/payment-providers", tag = "payment-providers", operation_id = "list_payment_providers",
    params(PageParams),
    responses((status = 200, description = "A page of providers", body = Page<PaymentProvider>))
)]
async fn list(
    State(read): State<ReadSide>,
    asked: Asked,
    page: PageRequest<String>,
) -> Result<Answer<Page<PaymentProvider>>, Problem> {
    let reading = read.reading(asked, READS, None).await?;
    // One that nobody has spoken of takes every order.
    let rows: Vec<PaymentProvider> = sqlx::query_as(
        "select * from (
             select provider as id, title, active, checkout, provider = $1 as configured, updated_at
             from read.payment_providers
             union all
             select $1, initcap($1), true, true, true, null
             where not exists (select 1 from read.payment_providers where provider = $1)
         ) p
         where $2::text is null or id > $2
         order by id limit $3",
    )
    .bind(read.provider())
    .bind(page.after.clone())
    .bind(page.fetch())
    .fetch_all(read.pool())
    .await
    .map_err(database)?;
    Ok(reading.answer(Page::from_surplus(rows, page.limit, |row| row.id.clone())))
}
