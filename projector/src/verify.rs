//! Verify: folds the log into a scratch schema and compares it with the live rows at the very same position.

use event_schema::Position;
use serde_json::Value;
use service_kit::postgres;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::checkpoint;
use crate::parking;
use crate::projection::Table;
use crate::replay::{Progress, Replay, ReplayError, Workshop};
use crate::schema::Schema;

/// How often the last stretch is tried while the live rows move on.
const ATTEMPTS_MAX: usize = 5;
/// Fewer positions than this are applied while the live checkpoint is held.
const LAST_STRETCH: u64 = 5_000;
/// A comparison of large tables may take longer than an ordinary statement.
const COMPARE_TIMEOUT: &str = "set local statement_timeout = '600s'";

/// What a check found.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// Which projection.
    pub projection: &'static str,
    /// The position at which both were compared.
    pub position: Position,
    /// Rows that were compared.
    pub rows: u64,
    /// The first row that differs; nothing when all are the same.
    pub difference: Option<Difference>,
}

impl Verified {
    /// Whether the rows are what the log says.
    pub fn is_same(&self) -> bool {
        self.difference.is_none()
    }
}

/// The first row that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Its table.
    pub table: String,
    /// Its key.
    pub key: String,
    /// The first column that differs; nothing when the whole row is missing on one side.
    pub column: Option<String>,
    /// What the live row has; nothing when there is no such row.
    pub live: Option<Value>,
    /// What the log says; nothing when there should be no such row.
    pub log: Option<Value>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            table,
            key,
            column,
            live,
            log,
        } = self;
        match (column, live, log) {
            (Some(column), Some(live), Some(log)) => {
                write!(f, "{table} {key}: {column} is {live}, the log says {log}")
            }
            (_, None, _) => write!(
                f,
                "{table} {key}: there is no such row, the log says there is"
            ),
            _ => write!(
                f,
                "{table} {key}: the row is there, the log says there is none"
            ),
        }
    }
}

impl Workshop {
    /// Compares the live rows of a projection with what the log says. Changes nothing.
    pub async fn verify(
        &self,
        name: &str,
        mut on_progress: impl FnMut(Progress) + Send,
    ) -> Result<Verified, ReplayError> {
        let projection = self.projection(name)?;
        let mut replay = Replay::begin(self, "verify", projection).await?;
        let verified = fill_and_compare(self, &mut replay, &mut on_progress).await;
        let ended = replay.end().await;
        let verified = verified?;
        ended?;
        Ok(verified)
    }
}

async fn fill_and_compare(
    workshop: &Workshop,
    replay: &mut Replay,
    on_progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Verified, ReplayError> {
    let projection = replay.applier.projection.clone();
    let name = projection.name();
    for _ in 0..ATTEMPTS_MAX {
        let live = live_position(workshop, name).await?;
        replay.up_to(live, on_progress).await?;
        replay.report().await?;
        on_progress(replay.progress());

        let mut standing = postgres::begin(&workshop.pool).await?;
        let held = checkpoint::lock(&mut standing, &Schema::LIVE, name).await?;
        let end = workshop.store.end().await?.position;
        let held = held.map_or(Position(0), |checkpoint| checkpoint.position.0.min(end));
        if held.0.saturating_sub(replay.position().0) > LAST_STRETCH || held < replay.position() {
            // Too far to go while the writer waits; or a rebuild has put an older state in place meanwhile.
            standing.rollback().await?;
            continue;
        }
        replay.up_to(held, on_progress).await?;
        // A snapshot taken now sees both sides at the same position; the writer need not wait for the comparison.
        let mut compare = postgres::begin(&workshop.pool).await?;
        sqlx::query("set transaction isolation level repeatable read")
            .execute(&mut *compare)
            .await?;
        sqlx::query(COMPARE_TIMEOUT).execute(&mut *compare).await?;
        sqlx::query("select position from read.checkpoint where projection = $1")
            .bind(name)
            .execute(&mut *compare)
            .await?;
        standing.rollback().await?;
        let (rows, difference) = compare_all(
            &mut compare,
            &replay.applier.schema,
            name,
            projection.tables(),
        )
        .await?;
        compare.rollback().await?;
        return Ok(Verified {
            projection: name,
            position: held,
            rows,
            difference,
        });
    }
    Err(ReplayError::NeverCaughtUp {
        projection: name.to_owned(),
    })
}

async fn live_position(workshop: &Workshop, name: &str) -> Result<Position, ReplayError> {
    let position: Option<i64> =
        sqlx::query_scalar("select position from read.checkpoint where projection = $1")
            .bind(name)
            .fetch_optional(&workshop.pool)
            .await?;
    // Rows of a log that lost its tail are compared with all that is left of it.
    let end = workshop.store.end().await?.position;
    Ok(parking::position(position.unwrap_or(0)).min(end))
}

async fn compare_all(
    connection: &mut PgConnection,
    scratch: &Schema,
    name: &str,
    tables: &[Table],
) -> Result<(u64, Option<Difference>), sqlx::Error> {
    let mut rows = 0;
    for table in tables {
        let (count, difference) = compare_table(connection, scratch, table).await?;
        rows += count;
        if difference.is_some() {
            return Ok((rows, difference));
        }
    }
    Ok((rows, compare_parked(connection, scratch, name).await?))
}

async fn compare_table(
    connection: &mut PgConnection,
    scratch: &Schema,
    table: &Table,
) -> Result<(u64, Option<Difference>), sqlx::Error> {
    let (name, key, scratch) = (table.name, table.key, scratch.name());
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from read.{name}")))
        .fetch_one(&mut *connection)
        .await?;
    let found: Option<(String, Option<Value>, Option<Value>)> =
        sqlx::query_as(AssertSqlSafe(format!(
            "select coalesce(l.{key}, s.{key})::text, to_jsonb(l), to_jsonb(s)
         from read.{name} l full join {scratch}.{name} s on l.{key} = s.{key}
         where to_jsonb(l) is distinct from to_jsonb(s)
         order by 1 limit 1"
        )))
        .fetch_optional(connection)
        .await?;
    let count = u64::try_from(count).unwrap_or(0);
    Ok((
        count,
        found.map(|(row, live, log)| first_difference(name, row, live, log)),
    ))
}

fn first_difference(
    table: &str,
    key: String,
    live: Option<Value>,
    log: Option<Value>,
) -> Difference {
    let table = table.to_owned();
    if let (Some(Value::Object(left)), Some(Value::Object(right))) = (&live, &log) {
        let differs = left
            .iter()
            .find(|(name, value)| right.get(*name) != Some(*value));
        if let Some((column, value)) = differs {
            let says = right.get(column).cloned().unwrap_or(Value::Null);
            return Difference {
                table,
                key,
                column: Some(column.clone()),
                live: Some(value.clone()),
                log: Some(says),
            };
        }
    }
    Difference {
        table,
        key,
        column: None,
        live,
        log,
    }
}

async fn compare_parked(
    connection: &mut PgConnection,
    scratch: &Schema,
    name: &str,
) -> Result<Option<Difference>, sqlx::Error> {
    let live = parking::list(connection, &Schema::LIVE, name).await?;
    let log = parking::list(connection, scratch, name).await?;
    let keys = |parked: &[parking::Parked]| parked.iter().map(|p| p.key).collect::<Vec<Uuid>>();
    let (live_keys, log_keys) = (keys(&live), keys(&log));
    let only_live = live_keys.iter().find(|key| !log_keys.contains(key));
    let only_log = log_keys.iter().find(|key| !live_keys.contains(key));
    let text = Value::String("parked".into());
    Ok(only_live.or(only_log).map(|key| Difference {
        table: "parked".into(),
        key: key.to_string(),
        column: None,
        live: only_live.map(|_| text.clone()),
        log: only_log
            .filter(|_| only_live.is_none())
            .map(|_| text.clone()),
    }))
}
