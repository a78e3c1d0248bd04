//! Checkpoints: the last position whose rows are committed, moved only by whoever holds the lease and only from
//! where it was believed to be.

use sqlx::PgConnection;
use uuid::Uuid;

use event_schema::Position;

use crate::parking::{Stored, bigint};
use crate::schema::Schema;

/// Where a projection stands.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Checkpoint {
    /// The projection.
    pub projection: String,
    /// Which log the rows were built from; empty before the first event.
    pub log: String,
    /// The last position whose rows are committed.
    #[sqlx(try_from = "i64")]
    pub position: Stored,
    /// The event at that position.
    pub event_id: Option<Uuid>,
    /// Whether a person has paused it.
    pub paused: bool,
    /// Why it does not go on, if it does not.
    pub stopped: Option<String>,
    /// Raised by whatever moves the rows beside the worker.
    pub generation: i64,
}

impl Checkpoint {
    /// Whether the worker may apply events to it.
    pub fn runs(&self) -> bool {
        !self.paused && self.stopped.is_none()
    }
}

/// A step forward.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a> {
    /// Where it was believed to be.
    pub from: Position,
    /// Where it is afterwards.
    pub to: Position,
    /// The event there.
    pub event_id: Uuid,
    /// Which log this is.
    pub log: &'a str,
    /// Events a second, for people.
    pub rate: f64,
}

/// Makes the rows of projections that have none yet.
pub(crate) async fn ensure(
    connection: &mut PgConnection,
    schema: &Schema,
    projections: &[&str],
) -> Result<(), sqlx::Error> {
    sqlx::query(schema.sql(
        "insert into read.checkpoint (projection) select unnest($1::text[]) on conflict do nothing",
    ))
    .bind(projections)
    .execute(connection)
    .await
    .map(drop)
}

/// All checkpoints.
pub(crate) async fn all(
    connection: &mut PgConnection,
    schema: &Schema,
) -> Result<Vec<Checkpoint>, sqlx::Error> {
    sqlx::query_as(schema.sql(
        "select projection, log, position, event_id, paused, stopped, generation from read.checkpoint
         order by projection",
    ))
    .fetch_all(connection)
    .await
}

/// One checkpoint, locked until the transaction ends: nobody moves the rows meanwhile.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    schema: &Schema,
    projection: &str,
) -> Result<Option<Checkpoint>, sqlx::Error> {
    sqlx::query_as(schema.sql(
        "select projection, log, position, event_id, paused, stopped, generation from read.checkpoint
         where projection = $1 for update",
    ))
    .bind(projection)
    .fetch_optional(connection)
    .await
}

/// Takes the step, if the checkpoint is still where it was believed to be and `holder` still holds the lease.
/// Says whether it was taken; otherwise somebody else writes, and nothing may be committed.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    schema: &Schema,
    projection: &str,
    holder: &str,
    step: Step<'_>,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query(schema.sql(
        "update read.checkpoint
         set position = $2, event_id = $3, log = $4, rate = $5, updated_at = now()
         where projection = $1 and position = $6 and not paused and stopped is null
           and exists (select 1 from read.projector_lease where holder = $7)",
    ))
    .bind(projection)
    .bind(bigint(step.to))
    .bind(step.event_id)
    .bind(step.log)
    .bind(step.rate)
    .bind(bigint(step.from))
    .bind(holder)
    .execute(connection)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// A projection that nothing in a batch concerns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passing {
    /// Which.
    pub projection: &'static str,
    /// Where it was believed to be.
    pub from: Position,
    /// Events a second, for people.
    pub rate: f64,
}

/// [`advance`] of many projections to one place in a single statement: what passes by most of them, with every batch,
/// must not cost each of them a transaction. Says whose step was taken.
pub(crate) async fn pass(
    connection: &mut PgConnection,
    schema: &Schema,
    holder: &str,
    (to, event_id): (Position, Uuid),
    log: &str,
    passing: &[Passing],
) -> Result<Vec<String>, sqlx::Error> {
    let names: Vec<&str> = passing.iter().map(|one| one.projection).collect();
    let from: Vec<i64> = passing.iter().map(|one| bigint(one.from)).collect();
    let rates: Vec<f64> = passing.iter().map(|one| one.rate).collect();
    sqlx::query_scalar(schema.sql(
        "update read.checkpoint as c
         set position = $4, event_id = $5, log = $6, rate = step.rate, updated_at = now()
         from unnest($1::text[], $2::bigint[], $3::float8[]) as step (projection, position, rate)
         where c.projection = step.projection and c.position = step.position
           and not c.paused and c.stopped is null
           and exists (select 1 from read.projector_lease where holder = $7)
         returning c.projection",
    ))
    .bind(names)
    .bind(from)
    .bind(rates)
    .bind(bigint(to))
    .bind(event_id)
    .bind(log)
    .bind(holder)
    .fetch_all(connection)
    .await
}

/// Notes why a projection does not go on, or that it does again.
pub(crate) async fn set_stopped(
    connection: &mut PgConnection,
    schema: &Schema,
    projection: &str,
    why: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query(schema.sql(
        "update read.checkpoint set stopped = $2 where projection = $1 and stopped is distinct from $2",
    ))
    .bind(projection)
    .bind(why)
    .execute(connection)
    .await
    .map(drop)
}
