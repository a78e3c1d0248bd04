//! What has changed in somebody's inbox since a position: one row for each notification, as it is now.

use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use event_schema::Timestamp;

use super::routes::Notification;
use super::whose::Reader;

/// What became of a notification, or of all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct InboxChange {
    /// `added`, `read`, `cleared` or `all_cleared`.
    pub change: String,
    /// The notification as it is now, when it was added or read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification: Option<Notification>,
    /// Which one was cleared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_id: Option<Uuid>,
    /// Up to which position everything was cleared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<i64>,
    /// How many of the whole inbox are not read by now.
    pub unread: i64,
}

/// A change and where in the log it happened.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    pub position: i64,
    change: String,
    id: Option<Uuid>,
    kind: Option<String>,
    order_id: Option<Uuid>,
    title: Option<String>,
    body: Option<String>,
    created_at: Option<jiff_sqlx::Timestamp>,
    told_at: Option<i64>,
    through: Option<i64>,
}

impl Row {
    /// The change as it is told.
    pub(super) fn told(self, unread: i64) -> InboxChange {
        let read = self.change == "read";
        let shown = read || self.change == "added";
        let notification = shown.then(|| self.notification(read)).flatten();
        InboxChange {
            notification_id: self.id.filter(|_| self.change == "cleared"),
            change: self.change,
            notification,
            through: self.through,
            unread,
        }
    }

    fn notification(&self, read: bool) -> Option<Notification> {
        Some(Notification {
            id: self.id?,
            kind: self.kind.clone()?,
            order_id: self.order_id,
            title: self.title.clone()?,
            body: self.body.clone()?,
            read,
            created_at: Timestamp::from(self.created_at?),
            position: self.told_at?,
        })
    }
}

/// At most `limit` changes after a position, the oldest first. What was cleared with all others is not told by itself.
pub(super) async fn changes(
    pool: &PgPool,
    reader: &Reader,
    after: i64,
    limit: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as(
        "with floor as (select coalesce((select through from read.inbox_floors where person = $1), 0) as through),
         mine as (
             select n.position, 'added' as change, n.id, n.kind, n.order_id, n.title, n.body, n.created_at,
                    n.position as told_at, null::bigint as through
             from read.notifications n, floor
             where (n.recipient = $1 or n.recipient = $2 or ($3 and n.recipient is null))
               and n.position > $4 and n.position > floor.through
               and not exists (select 1 from read.inbox_marks m where m.person = $1 and m.notification_id = n.id)
             union all
             select m.position, case when m.cleared then 'cleared' else 'read' end, m.notification_id, n.kind, n.order_id,
                    n.title, n.body, n.created_at, n.position, null
             from read.inbox_marks m left join read.notifications n on n.id = m.notification_id, floor
             where m.person = $1 and m.position > $4 and m.at > floor.through and (m.cleared or n.id is not null)
             union all
             select f.position, 'all_cleared', null, null, null, null, null, null, null, f.through
             from read.inbox_floors f where f.person = $1 and f.position > $4
         )
         select * from mine order by position limit $5",
    )
    .bind(reader.person)
    .bind(reader.partner_id)
    .bind(reader.admin)
    .bind(after)
    .bind(limit)
    .fetch_all(pool)
    .await
}
