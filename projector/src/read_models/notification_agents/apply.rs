//! Agents' events as rows: each says everything about its agent.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use event_schema::notification_agent::{Event, Set};
use event_schema::{Recorded, Timestamp};

use super::routes::{Agent, QuietHours, Route};
use crate::projection::{ApplyError, Batch, decode, following, ids};
use crate::read_models::{column, times};

struct Row {
    id: Uuid,
    name: String,
    kinds: Value,
    priority: String,
    channels: Value,
    active: bool,
    allow_duplicates: bool,
    quiet_hours: Option<Value>,
    version: i64,
    updated_at: Timestamp,
}

impl Row {
    fn of(recorded: &Recorded, id: Uuid, version: i64, set: &Set) -> Result<Self, ApplyError> {
        let Agent {
            name,
            kinds,
            priority,
            channels,
            active,
            allow_duplicates,
            quiet_hours,
            ..
        } = Agent::from(set);
        let json = |value: serde_json::Result<Value>| {
            value.map_err(|error| ApplyError::event(recorded, error))
        };
        Ok(Self {
            id,
            name,
            kinds: json(serde_json::to_value(kinds))?,
            priority,
            channels: json(serde_json::to_value::<Vec<Route>>(channels))?,
            active,
            allow_duplicates,
            quiet_hours: quiet_hours
                .map(|hours: QuietHours| json(serde_json::to_value(hours)))
                .transpose()?,
            version,
            updated_at: recorded.metadata.occurred_at,
        })
    }
}

pub(super) async fn apply(batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
    let mut versions: BTreeMap<Uuid, i64> = sqlx::query_as::<_, (Uuid, i64)>(
        batch.sql("select id, version from read.notification_agents where id = any($1)"),
    )
    .bind(ids(events))
    .fetch_all(batch.connection())
    .await?
    .into_iter()
    .collect();
    let mut rows: BTreeMap<Uuid, Row> = BTreeMap::new();
    for recorded in events {
        let Some(id) = recorded.aggregate_id() else {
            continue;
        };
        let version = following(recorded, versions.get(&id).copied().unwrap_or_default())?;
        versions.insert(id, version);
        let Event::Set(set) = decode(recorded)?;
        rows.insert(id, Row::of(recorded, id, version, &set)?);
    }
    let rows: Vec<Row> = rows.into_values().collect();
    sqlx::query(batch.sql(
        "insert into read.notification_agents
             (id, name, kinds, priority, channels, active, allow_duplicates, quiet_hours, version, updated_at)
         select * from unnest($1::uuid[], $2::text[], $3::jsonb[], $4::text[], $5::jsonb[], $6::boolean[],
                              $7::boolean[], $8::jsonb[], $9::bigint[], $10::timestamptz[])
         on conflict (id) do update
         set kinds = excluded.kinds, priority = excluded.priority, channels = excluded.channels,
             active = excluded.active, allow_duplicates = excluded.allow_duplicates,
             quiet_hours = excluded.quiet_hours, version = excluded.version, updated_at = excluded.updated_at",
    ))
    .bind(column!(rows, id))
    .bind(column!(rows, name))
    .bind(column!(rows, kinds))
    .bind(column!(rows, priority))
    .bind(column!(rows, channels))
    .bind(column!(rows, active))
    .bind(column!(rows, allow_duplicates))
    .bind(column!(rows, quiet_hours))
    .bind(column!(rows, version))
    .bind(times!(rows, updated_at))
    .execute(batch.connection())
    .await?;
    Ok(())
}
