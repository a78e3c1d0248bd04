//! GET /v1/notifications and /v1/notifications/unread: the caller's own inbox; admins also see what is meant for all of
//! them.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use event_schema::Timestamp;
use service_kit::cursor::{Page, PageParams, PageRequest};
use service_kit::extract::Query;
use service_kit::{Access, ApiRouter, Caller, Problem, routes};

use super::whose::{Reader, inbox, unread};
use super::{NAME, live};
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
    /// Whether the caller has read it.
    pub read: bool,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub created_at: Timestamp,
    #[serde(skip)]
    pub(super) position: i64,
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
    /// Only what was not read, or only what was: the same as `read` the other way round.
    unread: Option<bool>,
}

/// How much waits to be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Unread {
    /// How many of the whole inbox are not read yet.
    pub unread: i64,
}

pub(crate) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(Access::Authenticated, routes!(list))
        .routes(Access::Authenticated, routes!(count_unread))
        .routes(Access::Authenticated, routes!(live::live))
}

/// The caller's notifications, newest first, without those that he has cleared. What is for all admins, or for everybody
/// who acts for a partner, is read and cleared by each of them for himself.
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
    let reader = Reader::from(&caller);
    let (position, id) = page.after.unzip();
    let rows: Vec<Notification> = sqlx::query_as(inbox!(
        "select n.*, m.id is not null as read",
        "and ($4::text is null or n.kind = $4)
         and ($5::boolean is null or (m.id is not null) = $5)
         and ($6::boolean is null or (m.id is null) = $6)
         and ($7::bigint is null or (n.position, n.id) < ($7, $8))
         order by n.position desc, n.id desc limit $9"
    ))
    .bind(reader.person)
    .bind(reader.partner_id)
    .bind(reader.admin)
    .bind(filter.kind)
    .bind(filter.read)
    .bind(filter.unread)
    .bind(position)
    .bind(id)
    .bind(page.fetch())
    .fetch_all(read.pool())
    .await
    .map_err(database)?;
    let unread = unread(read.pool(), &reader).await.map_err(database)?;
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

/// How many of the caller's notifications are not read yet.
#[utoipa::path(
    get, path = "/v1/notifications/unread", tag = "notifications", operation_id = "count_unread_notifications",
    responses((status = 200, description = "The count", body = Unread))
)]
async fn count_unread(
    State(read): State<ReadSide>,
    caller: Caller,
    asked: Asked,
) -> Result<Answer<Unread>, Problem> {
    let reading = read.reading(asked, READS, None).await?;
    let unread = unread(read.pool(), &Reader::from(&caller))
        .await
        .map_err(database)?;
    Ok(reading.answer(Unread { unread }))
}
