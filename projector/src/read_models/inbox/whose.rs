//! Whose notification it is: what a reader sees, for the routes and for those who have to know it and have no rows.

use serde::Deserialize;
use sqlx::PgPool;
use uuid::Uuid;

use service_kit::{Caller, Role};

/// Somebody who looks into his inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Reader {
    /// Who. What he has read and cleared is kept under this id.
    pub person: Uuid,
    /// The partner he acts for: what a partner is told, everybody is told who acts for him.
    #[serde(default)]
    pub partner_id: Option<Uuid>,
    /// Whether he also hears what is meant for all admins.
    #[serde(default)]
    pub admin: bool,
}

impl From<&Caller> for Reader {
    fn from(caller: &Caller) -> Self {
        Self {
            person: caller.subject,
            partner_id: caller.partner_id(),
            admin: caller.is(Role::Admin),
        }
    }
}

/// A query over the notifications that a reader was ever told; parameters 1 to 3 are the reader's.
macro_rules! told {
    ($select:literal, $rest:literal) => {
        concat!(
            $select,
            " from read.notifications n
             left join read.inbox_marks m on m.person = $1 and m.notification_id = n.id
             where (n.recipient = $1 or n.recipient = $2 or ($3 and n.recipient is null)) ",
            $rest
        )
    };
}

/// A query over the notifications that a reader still has; parameters 1 to 3 are the reader's.
macro_rules! inbox {
    ($select:literal, $rest:literal) => {
        concat!(
            $select,
            " from read.notifications n
             left join read.inbox_marks m on m.person = $1 and m.notification_id = n.id
             where (n.recipient = $1 or n.recipient = $2 or ($3 and n.recipient is null))
               and n.position > coalesce((select through from read.inbox_floors where person = $1), 0)
               and not coalesce(m.cleared, false) ",
            $rest
        )
    };
}
pub(super) use inbox;

/// Where in the log the event is that a notification tells of, if it ever was in the reader's inbox.
pub(crate) async fn place_of(
    pool: &PgPool,
    reader: &Reader,
    notification: Uuid,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar(told!("select n.position", "and n.id = $4"))
        .bind(reader.person)
        .bind(reader.partner_id)
        .bind(reader.admin)
        .bind(notification)
        .fetch_optional(pool)
        .await
}

/// Where in the log the event is that the newest notification in the reader's inbox tells of.
pub(crate) async fn newest(pool: &PgPool, reader: &Reader) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar(inbox!(
        "select n.position",
        "order by n.position desc limit 1"
    ))
    .bind(reader.person)
    .bind(reader.partner_id)
    .bind(reader.admin)
    .fetch_optional(pool)
    .await
}

/// How many of the reader's notifications are not read yet.
pub(crate) async fn unread(pool: &PgPool, reader: &Reader) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(inbox!("select count(*)", "and m.id is null"))
        .bind(reader.person)
        .bind(reader.partner_id)
        .bind(reader.admin)
        .fetch_one(pool)
        .await
}
