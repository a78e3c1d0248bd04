//! Parked keys: what a poison event holds back, and how it goes on once it can be applied.

use sqlx::PgConnection;
use uuid::Uuid;

use event_schema::Position;

use crate::schema::Schema;

/// A projection that parks more keys than this has a fault of its own and is stopped, not emptied key by key.
pub const PARKED_KEYS_MAX: usize = 1_000;
/// What is said of a projection that parks more than [`PARKED_KEYS_MAX`] keys.
pub(crate) fn too_many(projection: &str) -> String {
    format!(
        "more than {PARKED_KEYS_MAX} keys are parked, so the projection itself is at fault; start a build that can \
         apply the events, then run `waybill projections resume {projection}`",
    )
}

/// How much of a cause is kept.
const CAUSE_CHARS_MAX: usize = 500;

/// A key whose events are held back.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Parked {
    /// The projection.
    pub projection: String,
    /// The key, such as an order's id.
    pub key: Uuid,
    /// The first event that is not in the rows.
    #[sqlx(try_from = "i64")]
    pub first_position: Stored,
    /// Why, for a person.
    pub cause: String,
}

/// A position as a `bigint` column holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored(pub Position);

impl From<i64> for Stored {
    fn from(value: i64) -> Self {
        Self(position(value))
    }
}

/// A position out of a `bigint` column; a negative one is never written.
pub(crate) fn position(value: i64) -> Position {
    Position(u64::try_from(value).unwrap_or(0))
}

/// A position for a `bigint` column. The broker's sequences stay far below the limit.
pub(crate) fn bigint(position: Position) -> i64 {
    i64::try_from(position.0).unwrap_or(i64::MAX)
}

/// All that is parked of a projection, oldest first.
pub(crate) async fn list(
    connection: &mut PgConnection,
    schema: &Schema,
    projection: &str,
) -> Result<Vec<Parked>, sqlx::Error> {
    sqlx::query_as(schema.sql(
        "select projection, key, first_position, cause from read.parked
         where projection = $1 order by first_position, key",
    ))
    .bind(projection)
    .fetch_all(connection)
    .await
}

/// How many keys are parked of a projection.
pub(crate) async fn count(
    connection: &mut PgConnection,
    schema: &Schema,
    projection: &str,
) -> Result<usize, sqlx::Error> {
    let count: i64 =
        sqlx::query_scalar(schema.sql("select count(*) from read.parked where projection = $1"))
            .bind(projection)
            .fetch_one(connection)
            .await?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// From which event on a key is parked, if it is.
pub(crate) async fn since(
    connection: &mut PgConnection,
    schema: &Schema,
    projection: &str,
    key: Uuid,
) -> Result<Option<Position>, sqlx::Error> {
    let first: Option<i64> = sqlx::query_scalar(
        schema.sql("select first_position from read.parked where projection = $1 and key = $2"),
    )
    .bind(projection)
    .bind(key)
    .fetch_optional(connection)
    .await?;
    Ok(first.map(position))
}

/// Parks a key, or says anew why it stays parked.
pub(crate) async fn park(
    connection: &mut PgConnection,
    schema: &Schema,
    projection: &str,
    key: Uuid,
    first: Position,
    cause: &str,
) -> Result<(), sqlx::Error> {
    let cause: String = cause
        .chars()
        .filter(|c| *c != '\0')
        .take(CAUSE_CHARS_MAX)
        .collect();
    sqlx::query(schema.sql(
        "insert into read.parked (projection, key, first_position, cause) values ($1, $2, $3, $4)
         on conflict (projection, key) do update
         set first_position = excluded.first_position, cause = excluded.cause, parked_at = now()",
    ))
    .bind(projection)
    .bind(key)
    .bind(bigint(first))
    .bind(cause)
    .execute(connection)
    .await
    .map(drop)
}

/// The key is in the rows again.
pub(crate) async fn release(
    connection: &mut PgConnection,
    schema: &Schema,
    projection: &str,
    key: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query(schema.sql("delete from read.parked where projection = $1 and key = $2"))
        .bind(projection)
        .bind(key)
        .execute(connection)
        .await
        .map(drop)
}
