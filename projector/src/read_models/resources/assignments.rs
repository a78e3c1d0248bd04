//! Assignments' events as rows: the last word of each pair of customer and resource counts.

use std::collections::BTreeMap;

use uuid::Uuid;

use event_schema::assignment::Event;
use event_schema::{Recorded, Timestamp};

use crate::projection::{ApplyError, Batch, decode, following, ids};
use crate::read_models::{column, times};

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    customer_id: Uuid,
    resource_id: Uuid,
    assigned: bool,
    version: i64,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    assigned_at: Timestamp,
}

pub(super) async fn apply(batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
    if events.is_empty() {
        return Ok(());
    }
    let mut rows: BTreeMap<Uuid, Row> =
        sqlx::query_as(batch.sql("select * from read.assignments where id = any($1)"))
            .bind(ids(events))
            .fetch_all(batch.connection())
            .await?
            .into_iter()
            .map(|row: Row| (row.id, row))
            .collect();
    for recorded in events {
        change(&mut rows, recorded)?;
    }
    write(batch, rows.into_values().collect()).await
}

fn change(rows: &mut BTreeMap<Uuid, Row>, recorded: &Recorded) -> Result<(), ApplyError> {
    let Some(id) = recorded.aggregate_id() else {
        return Ok(());
    };
    let version = following(recorded, rows.get(&id).map_or(0, |row| row.version))?;
    match decode(recorded)? {
        Event::Assigned(pair) => {
            let row = Row {
                id,
                customer_id: pair.customer_id.uuid(),
                resource_id: pair.resource_id.uuid(),
                assigned: true,
                version,
                assigned_at: recorded.metadata.occurred_at,
            };
            rows.insert(id, row);
        }
        Event::Unassigned(_) => {
            let row = rows.get_mut(&id).ok_or_else(|| {
                ApplyError::event(recorded, "the customer never had the resource")
            })?;
            row.assigned = false;
            row.version = version;
        }
    }
    Ok(())
}

async fn write(batch: &mut Batch<'_>, rows: Vec<Row>) -> Result<(), ApplyError> {
    sqlx::query(batch.sql(
        "insert into read.assignments (id, customer_id, resource_id, assigned, version, assigned_at)
         select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::boolean[], $5::bigint[], $6::timestamptz[])
         on conflict (id) do update
         set assigned = excluded.assigned, version = excluded.version, assigned_at = excluded.assigned_at",
    ))
    .bind(column!(rows, id))
    .bind(column!(rows, customer_id))
    .bind(column!(rows, resource_id))
    .bind(column!(rows, assigned))
    .bind(column!(rows, version))
    .bind(times!(rows, assigned_at))
    .execute(batch.connection())
    .await?;
    Ok(())
}
