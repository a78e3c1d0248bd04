//! GET /v1/notifications/live: what changes in the caller's inbox, as server-sent events whose ids are positions.
//!
//! Read from the rows: each message is a notification as it is, under the position of its last change, so whoever was away
//! gets each once. One that was held back with its order and comes late is in the list and is not told here.

use ::http::HeaderMap;
use async_trait::async_trait;
use axum::extract::State;
use axum::response::Response;
use axum::response::sse::Event;
use serde::Deserialize;
use utoipa::IntoParams;

use event_schema::Position;
use service_kit::extract::Query;
use service_kit::{Caller, Problem};

use super::NAME;
use super::changed::{self, InboxChange};
use super::whose::{Reader, unread};
use crate::events_route::{CHANGES_AT_ONCE, Changing, follow, message, resumed};
use crate::http::{ReadSide, database};

/// From where.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Params {
    /// Begin with what has changed after this position instead of now; 0 begins with everything in the inbox. The
    /// `Waybill-Position` of `GET /v1/notifications` leaves no gap. `Last-Event-ID` comes before it.
    after: Option<u64>,
}

/// The caller's notifications from now on, or after `Last-Event-ID`, and what he reads and clears anywhere. One message
/// for each change: its id the position, its data what happened to which notification, with how many are not read by now.
/// Comments say why the server ends it; the way on is to come back with the last id.
#[utoipa::path(
    get, path = "/v1/notifications/live", tag = "notifications", operation_id = "follow_notifications",
    params(Params, ("Last-Event-ID" = Option<u64>, Header, description = "The last position that was seen")),
    responses(
        (status = 200, description = "Server-sent events; their data are `InboxChange`", content_type = "text/event-stream", body = String,
            example = "id: 42\ndata: {\"change\":\"added\",\"notification\":{\"id\":\"019a2b3c-0000-7000-8000-000000000001\",\"kind\":\"order_ready\",\"title\":\"Order ready\",\"body\":\"…\",\"read\":false,\"created_at\":\"2026-11-21T08:30:00Z\"},\"unread\":3}\n\n"),
        (status = 400, description = "`position_unknown`: the log never gave out this position; `invalid_header`",
            body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`busy`: too many follow already; `broker_unavailable`, `database_unavailable`",
            body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn live(
    State(read): State<ReadSide>,
    caller: Caller,
    headers: HeaderMap,
    Query(params): Query<Params>,
) -> Result<Response, Problem> {
    let place = read.inbox_feed().enter()?;
    let after = resumed(&read, &headers, params.after.map(Position), &[NAME]).await?;
    let inbox = Inbox {
        reader: Reader::from(&caller),
        read: read.clone(),
    };
    Ok(follow(
        inbox,
        after,
        read.inbox_feed(),
        read.moves(),
        place,
        "waybill_live_inbox_readers",
    ))
}

/// One reader's inbox.
struct Inbox {
    reader: Reader,
    read: ReadSide,
}

#[async_trait]
impl Changing for Inbox {
    async fn changes(&self, after: i64) -> Result<Vec<(i64, Event)>, Problem> {
        let pool = self.read.pool();
        let rows = changed::changes(pool, &self.reader, after, CHANGES_AT_ONCE)
            .await
            .map_err(database)?;
        if rows.is_empty() {
            return Ok(vec![]);
        }
        let unread = unread(pool, &self.reader).await.map_err(database)?;
        rows.into_iter()
            .map(|row| {
                let position = row.position;
                let change: InboxChange = row.told(unread);
                Ok((position, message(position, &change)?))
            })
            .collect()
    }
}
