//! GET /v1/notifications: the caller's own inbox; admins also see what is meant for all of them.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use event_schema::Timestamp;
use service_kit::cursor::{Page, PageParams, PageRequest};
use service_kit::extract::Query;
use service_kit::{Access, ApiRouter, Caller, Problem, Role, routes};

use super::NAME;
use crate::http::{Answer, Asked, ReadSide, database};

const READS: &[&str] = &[NAME];

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Notification {
    /// Its id.
    pub id: Uuid,
    /// Such as order_confirmed.
    pub kind: String,
    /// The order it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<Uuid>,
    /// In a few words.
    pub title: String,
    /// In a sentence.
    pub body: String,
    /// Whether it was read.
    pub read: bool,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub created_at: Timestamp,
    #[serde(skip)]
    position: i64,
}

/// A page of an inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct InboxPage {
    /// The notifications, newest first.
    pub data: Vec<Notification>,
    /// Send it as `cursor` to get the page after this one; null at the end.
    pub next_cursor: Option<String>,
    /// Whether there is a page after this one.
    pub has_more: bool,
    /// How many of the whole inbox are not read yet.
    pub unread: i64,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only this kind.
    kind: Option<String>,
    /// Only what was read, or only what was not.
    read: Option<bool>,
}

pub(crate) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(Access::Authenticated, routes!(list))
}

/// The caller's notifications, newest first.
#[utoipa::path(
    get, path = "/v1/notifications", tag = "notifications", operation_id = "list_notifications", params(Filter, PageParams),
    responses((status = 200, description = "A page of the inbox", body = InboxPage))
)]
async fn list(
    State(read): State<ReadSide>,
    caller: Caller,
    asked: Asked,
    page: PageRequest<(i64, Uuid)>,
    Query(filter): Query<Filter>,
) -> Result<Answer<InboxPage>, Problem> {
    let reading = read.reading(asked, READS, None).await?;
    let for_admins = caller.is(Role::Admin);
    // What a partner is told, everybody is told who acts for him.
    let recipients: Vec<Uuid> = [Some(caller.subject), caller.partner_id()]
        .into_iter()
        .flatten()
        .collect();
    let (position, id) = page.after.unzip();
    let rows: Vec<Notification> = sqlx::query_as(
        "select * from read.notifications
         where (recipient = any($1) or ($2 and recipient is null))
           and ($3::text is null or kind = $3)
           and ($4::boolean is null or read = $4)
           and ($5::bigint is null or (position, id) < ($5, $6))
         order by position desc, id desc limit $7",
    )
    .bind(&recipients)
    .bind(for_admins)
    .bind(filter.kind)
    .bind(filter.read)
    .bind(position)
    .bind(id)
    .bind(page.fetch())
    .fetch_all(read.pool())
    .await
    .map_err(database)?;
    let unread: i64 = sqlx::query_scalar(
        "select count(*) from read.notifications
         where (recipient = any($1) or ($2 and recipient is null)) and not read",
    )
    .bind(&recipients)
    .bind(for_admins)
    .fetch_one(read.pool())
    .await
    .map_err(database)?;
    let Page {
        data,
        next_cursor,
        has_more,
    } = Page::from_surplus(rows, page.limit, |row| (row.position, row.id));
    Ok(reading.answer(InboxPage {
        data,
        next_cursor,
        has_more,
        unread,
    }))
}
