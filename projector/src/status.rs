//! Where every projection stands, as `ls`, the operator's service and `GET /v1/projections` show it; and the two
//! things a person may do to one by hand: pause it, and let it go on.

use std::fmt::Write as _;

use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use event_store::{EventStore, LoadError};

use crate::parking;

/// Most parked keys that a listing shows of one projection.
const SHOWN_PARKED_MAX: i64 = 100;

/// Whether a projection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Running {
    /// It follows the log.
    Live,
    /// It follows the log while a second copy is being built.
    Rebuilding,
    /// A person has paused it.
    Paused,
    /// It does not go on by itself; `message` says why and what to do.
    Stopped,
}

impl Running {
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Rebuilding => "rebuilding",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// One projection.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ProjectionStatus {
    /// Its name.
    pub name: String,
    /// Whether it goes on.
    pub status: Running,
    /// The last position whose rows are committed.
    pub position: u64,
    /// How far that is from the log's end.
    pub lag: u64,
    /// Events a second.
    pub rate: f64,
    /// What is held back.
    pub parked: Vec<ParkedKey>,
    /// Why it is stopped and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How far a rebuild has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebuild: Option<RebuildStatus>,
}

/// A key that is held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ParkedKey {
    /// The key, such as an order's id.
    pub key: Uuid,
    /// The first event that is not in the rows.
    pub position: u64,
    /// Why.
    pub cause: String,
}

/// A rebuild under way.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RebuildStatus {
    /// How far it has come.
    pub position: u64,
    /// Where the log ended when it last looked.
    pub end: u64,
    /// Events a second.
    pub rate: f64,
    /// Seconds it will take at that rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<f64>,
}

/// Why the list could not be made.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The database cannot be read.
    #[error("the checkpoints cannot be read")]
    Database(#[from] sqlx::Error),
    /// The log cannot be asked where it ends.
    #[error("the log cannot be asked where it ends")]
    Log(#[from] LoadError),
}

#[derive(sqlx::FromRow)]
struct Row {
    projection: String,
    position: i64,
    paused: bool,
    stopped: Option<String>,
    rate: f64,
    rebuild_position: Option<i64>,
    rebuild_end: Option<i64>,
    rebuild_rate: Option<f64>,
    rebuild_seconds: Option<f64>,
}

/// Every projection.
pub async fn list(
    pool: &PgPool,
    store: &dyn EventStore,
) -> Result<Vec<ProjectionStatus>, StatusError> {
    let end = store.end().await?.position;
    let rows: Vec<Row> = sqlx::query_as(
        "select c.projection, c.position, c.paused, c.stopped,
                case when c.updated_at < now() - interval '5 seconds' then 0 else c.rate end as rate,
                r.position as rebuild_position, r.log_end as rebuild_end, r.rate as rebuild_rate,
                extract(epoch from now() - r.started_at)::float8 as rebuild_seconds
         from read.checkpoint c
         left join read.replay r on r.projection = c.projection and r.kind = 'rebuild' and r.until > now()
         order by c.projection",
    )
    .fetch_all(pool)
    .await?;
    let mut projections = Vec::with_capacity(rows.len());
    for row in rows {
        let parked = parked(pool, &row.projection).await?;
        projections.push(row.status(end.0, parked));
    }
    Ok(projections)
}

async fn parked(pool: &PgPool, projection: &str) -> Result<Vec<ParkedKey>, sqlx::Error> {
    let rows: Vec<(Uuid, i64, String)> = sqlx::query_as(
        "select key, first_position, cause from read.parked where projection = $1 order by first_position, key limit $2",
    )
    .bind(projection)
    .bind(SHOWN_PARKED_MAX)
    .fetch_all(pool)
    .await?;
    let shown = |(key, first, cause)| ParkedKey {
        key,
        position: parking::position(first).0,
        cause,
    };
    Ok(rows.into_iter().map(shown).collect())
}

impl Row {
    fn status(self, end: u64, parked: Vec<ParkedKey>) -> ProjectionStatus {
        let position = parking::position(self.position).0;
        let rebuild = self.rebuild_position.map(|at| {
            let (at, end) = (
                parking::position(at).0,
                parking::position(self.rebuild_end.unwrap_or(0)).0,
            );
            let pace = at as f64 / self.rebuild_seconds.unwrap_or(0.0).max(0.001);
            let seconds_left = (pace > 0.0).then(|| end.saturating_sub(at) as f64 / pace);
            RebuildStatus {
                position: at,
                end,
                rate: self.rebuild_rate.unwrap_or(0.0),
                seconds_left,
            }
        });
        let status = match (&self.stopped, self.paused, &rebuild) {
            (Some(_), ..) => Running::Stopped,
            (None, true, _) => Running::Paused,
            (None, false, Some(_)) => Running::Rebuilding,
            (None, false, None) => Running::Live,
        };
        ProjectionStatus {
            name: self.projection,
            status,
            position,
            lag: end.saturating_sub(position),
            rate: self.rate,
            parked,
            message: self.stopped,
            rebuild,
        }
    }
}

/// The table's first column, when no name is longer.
const NAME_WIDTH_MIN: usize = 12;

/// The list as text for people, one line a projection and one below it for what is wrong.
pub fn as_text(projections: &[ProjectionStatus]) -> String {
    let longest = projections.iter().map(|p| p.name.len()).max();
    let width = longest.unwrap_or_default().max(NAME_WIDTH_MIN);
    let mut text = format!(
        "{:<width$} {:<11} {:>12} {:>10} {:>10} {:>7}\n",
        "NAME", "STATUS", "POSITION", "LAG", "EVENTS/S", "PARKED"
    );
    for p in projections {
        // Writing to a string does not fail.
        let _infallible = writeln!(
            text,
            "{:<width$} {:<11} {:>12} {:>10} {:>10.0} {:>7}",
            p.name,
            p.status.as_str(),
            p.position,
            p.lag,
            p.rate,
            p.parked.len()
        );
        if let Some(message) = &p.message {
            let _infallible = writeln!(text, "  {message}");
        }
        if let Some(rebuild) = &p.rebuild {
            let left = rebuild
                .seconds_left
                .map_or_else(String::new, |left| format!(", {left:.0} s left"));
            let _infallible = writeln!(
                text,
                "  rebuilding: {} of {}, {:.0} events/s{left}",
                rebuild.position, rebuild.end, rebuild.rate
            );
        }
        for parked in &p.parked {
            let _infallible = writeln!(
                text,
                "  parked {} from position {}: {}",
                parked.key, parked.position, parked.cause
            );
        }
    }
    text
}

/// Pauses a projection: queries go on, and say the position they were read at. False when there is no such one.
pub async fn pause(pool: &PgPool, projection: &str) -> Result<bool, sqlx::Error> {
    let paused = sqlx::query("update read.checkpoint set paused = true where projection = $1")
        .bind(projection)
        .execute(pool)
        .await?;
    Ok(paused.rows_affected() == 1)
}

/// Lets a projection go on and has its parked keys tried again. False when there is no such one.
pub async fn resume(pool: &PgPool, projection: &str) -> Result<bool, sqlx::Error> {
    // The generation makes the writer begin a new session, and a session begins with what is parked or stopped.
    let resumed = sqlx::query(
        "update read.checkpoint set paused = false, generation = generation + 1 where projection = $1",
    )
    .bind(projection)
    .execute(pool)
    .await?;
    Ok(resumed.rows_affected() == 1)
}
