//! Providers' events as rows: each says everything about its provider.

use std::collections::BTreeMap;

use uuid::Uuid;

use event_schema::payment_provider::{Event, Set};
use event_schema::{Recorded, Timestamp};

use crate::projection::{ApplyError, Batch, decode, following, ids};
use crate::read_models::{column, times};

struct Row {
    id: Uuid,
    provider: String,
    title: String,
    active: bool,
    checkout: bool,
    version: i64,
    updated_at: Timestamp,
}

pub(super) async fn apply(batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
    let mut versions: BTreeMap<Uuid, i64> = sqlx::query_as::<_, (Uuid, i64)>(
        batch.sql("select id, version from read.payment_providers where id = any($1)"),
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
        let Event::Set(Set {
            provider,
            title,
            active,
            checkout,
        }) = decode(recorded)?;
        let row = Row {
            id,
            provider,
            title,
            active,
            checkout,
            version,
            updated_at: recorded.metadata.occurred_at,
        };
        rows.insert(id, row);
    }
    let rows: Vec<Row> = rows.into_values().collect();
    sqlx::query(batch.sql(
        "insert into read.payment_providers (id, provider, title, active, checkout, version, updated_at)
         select * from unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[], $5::boolean[], $6::bigint[],
                              $7::timestamptz[])
         on conflict (id) do update
         set title = excluded.title, active = excluded.active, checkout = excluded.checkout,
             version = excluded.version, updated_at = excluded.updated_at",
    ))
    .bind(column!(rows, id))
    .bind(column!(rows, provider))
    .bind(column!(rows, title))
    .bind(column!(rows, active))
    .bind(column!(rows, checkout))
    .bind(column!(rows, version))
    .bind(times!(rows, updated_at))
    .execute(batch.connection())
    .await?;
    Ok(())
}
