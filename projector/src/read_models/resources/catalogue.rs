//! Resources' events as rows.

use std::collections::BTreeMap;

use uuid::Uuid;

use event_schema::resource::{Details, Event};
use event_schema::{Recorded, Timestamp};

use crate::projection::{ApplyError, Batch, decode, following, ids};
use crate::read_models::{column, times};

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    #[sqlx(rename = "type")]
    kind: String,
    region: String,
    removed: bool,
    version: i64,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    created_at: Timestamp,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    updated_at: Timestamp,
}

pub(super) async fn apply(batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
    if events.is_empty() {
        return Ok(());
    }
    let mut rows: BTreeMap<Uuid, Row> =
        sqlx::query_as(batch.sql("select * from read.resources where id = any($1)"))
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
    let at = recorded.metadata.occurred_at;
    let event = decode(recorded)?;
    if let Event::Added(added) = &event {
        rows.entry(id)
            .or_insert_with(|| Row::new(id, added.details.clone(), at));
    }
    let row = rows
        .get_mut(&id)
        .ok_or_else(|| ApplyError::event(recorded, "the resource was never added"))?;
    match event {
        Event::Added(_) => {}
        Event::Changed(changed) => row.describe(changed.details),
        Event::Removed(_) => row.removed = true,
    }
    row.version = following(recorded, row.version)?;
    row.updated_at = at;
    Ok(())
}

impl Row {
    fn new(id: Uuid, details: Details, at: Timestamp) -> Self {
        let Details { name, kind, region } = details;
        Self {
            id,
            name,
            kind,
            region,
            removed: false,
            version: 0,
            created_at: at,
            updated_at: at,
        }
    }

    fn describe(&mut self, details: Details) {
        let Details { name, kind, region } = details;
        self.name = name;
        self.kind = kind;
        self.region = region;
    }
}

async fn write(batch: &mut Batch<'_>, rows: Vec<Row>) -> Result<(), ApplyError> {
    sqlx::query(batch.sql(
        "insert into read.resources (id, name, type, region, removed, version, created_at, updated_at)
         select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::bigint[],
                              $7::timestamptz[], $8::timestamptz[])
         on conflict (id) do update
         set name = excluded.name, type = excluded.type, region = excluded.region, removed = excluded.removed,
             version = excluded.version, updated_at = excluded.updated_at",
    ))
    .bind(column!(rows, id))
    .bind(column!(rows, name))
    .bind(column!(rows, kind))
    .bind(column!(rows, region))
    .bind(column!(rows, removed))
    .bind(column!(rows, version))
    .bind(times!(rows, created_at))
    .bind(times!(rows, updated_at))
    .execute(batch.connection())
    .await?;
    Ok(())
}
