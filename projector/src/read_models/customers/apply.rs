//! Customers' events as rows; sealed names and addresses are opened here, with the keys there still are.

use std::collections::BTreeMap;

use uuid::Uuid;

use event_schema::customer::{Added, Event, Role};
use event_schema::{PersonalKey, Recorded, Timestamp};

use crate::personal::open;
use crate::projection::{ApplyError, Batch, decode, following};
use crate::read_models::{column, times};

struct Row {
    id: Uuid,
    name: Option<String>,
    email: Option<String>,
    role: &'static str,
    version: i64,
    at: Timestamp,
}

pub(super) async fn apply(batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
    let mut decoded = Vec::with_capacity(events.len());
    for recorded in events {
        decoded.push((*recorded, decode::<Event>(recorded)?));
    }
    let persons = decoded
        .iter()
        .filter_map(|(recorded, _)| recorded.aggregate_id());
    let keys = batch.personal_keys(persons).await?;
    let mut rows: BTreeMap<Uuid, Row> = BTreeMap::new();
    for (recorded, event) in &decoded {
        let Some(id) = recorded.aggregate_id() else {
            continue;
        };
        if let Event::Added(added) = event {
            rows.insert(id, row(id, recorded, added, &keys)?);
        }
    }
    let rows: Vec<Row> = rows.into_values().collect();
    sqlx::query(batch.sql(
        "insert into read.customers (id, name, email, role, version, created_at, updated_at)
         select id, name, email, role, version, at, at
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[])
             as c (id, name, email, role, version, at)",
    ))
    .bind(column!(rows, id))
    .bind(column!(rows, name))
    .bind(column!(rows, email))
    .bind(column!(rows, role))
    .bind(column!(rows, version))
    .bind(times!(rows, at))
    .execute(batch.connection())
    .await?;
    Ok(())
}

fn row(
    id: Uuid,
    recorded: &Recorded,
    added: &Added,
    keys: &BTreeMap<Uuid, PersonalKey>,
) -> Result<Row, ApplyError> {
    Ok(Row {
        id,
        name: open(recorded, &added.name, keys)?,
        email: open(recorded, &added.email, keys)?,
        role: role(added.role),
        version: following(recorded, 0)?,
        at: recorded.metadata.occurred_at,
    })
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Customer => "customer",
        Role::Deliverer => "deliverer",
        Role::Partner => "partner",
        Role::Admin => "admin",
    }
}
