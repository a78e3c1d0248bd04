//! Offers' events as rows: the last word of each pair of partner and product counts.

use std::collections::BTreeMap;

use uuid::Uuid;

use event_schema::offer::Event;
use event_schema::{Recorded, Timestamp};

use crate::projection::{ApplyError, Batch, decode, following, ids};
use crate::read_models::{column, times};

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    partner_id: Uuid,
    product_id: Uuid,
    price: i64,
    currency: String,
    active: bool,
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
        sqlx::query_as(batch.sql("select * from read.offers where id = any($1)"))
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
    match decode(recorded)? {
        Event::Set(set) => {
            let created_at = rows.get(&id).map_or(at, |row| row.created_at);
            let row = Row {
                id,
                partner_id: set.partner_id.uuid(),
                product_id: set.product_id.uuid(),
                price: set.price.amount,
                currency: set.price.currency.code().to_owned(),
                active: set.active,
                removed: false,
                version: following(recorded, rows.get(&id).map_or(0, |row| row.version))?,
                created_at,
                updated_at: at,
            };
            rows.insert(id, row);
        }
        Event::Removed(_) => {
            let row = rows
                .get_mut(&id)
                .ok_or_else(|| ApplyError::event(recorded, "the offer was never set"))?;
            row.removed = true;
            row.active = false;
            row.version = following(recorded, row.version)?;
            row.updated_at = at;
        }
    }
    Ok(())
}

async fn write(batch: &mut Batch<'_>, rows: Vec<Row>) -> Result<(), ApplyError> {
    sqlx::query(batch.sql(
        "insert into read.offers
             (id, partner_id, product_id, price, currency, active, removed, version, created_at, updated_at)
         select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::boolean[],
                              $7::boolean[], $8::bigint[], $9::timestamptz[], $10::timestamptz[])
         on conflict (id) do update
         set price = excluded.price, currency = excluded.currency, active = excluded.active,
             removed = excluded.removed, version = excluded.version, updated_at = excluded.updated_at",
    ))
    .bind(column!(rows, id))
    .bind(column!(rows, partner_id))
    .bind(column!(rows, product_id))
    .bind(column!(rows, price))
    .bind(column!(rows, currency))
    .bind(column!(rows, active))
    .bind(column!(rows, removed))
    .bind(column!(rows, version))
    .bind(times!(rows, created_at))
    .bind(times!(rows, updated_at))
    .execute(batch.connection())
    .await?;
    Ok(())
}
