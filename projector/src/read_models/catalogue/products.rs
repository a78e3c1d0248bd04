//! Products' events as rows.

use std::collections::BTreeMap;

use uuid::Uuid;

use event_schema::product::{Added, Details, Event};
use event_schema::{Recorded, Timestamp};

use crate::projection::{ApplyError, Batch, decode, following, ids};
use crate::read_models::{column, times};

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    sku: String,
    partner_id: Option<Uuid>,
    name: String,
    brand: String,
    category: String,
    size: Option<String>,
    color: Option<String>,
    description: Option<String>,
    picture_url: Option<String>,
    unit_cost: i64,
    unit_cost_currency: String,
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
        sqlx::query_as(batch.sql("select * from read.products where id = any($1)"))
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
    let row = match decode(recorded)? {
        Event::Added(added) => {
            rows.entry(id)
                .or_insert(Row::new(id, added, recorded.metadata.occurred_at))
        }
        event @ (Event::Changed(_) | Event::Removed(_)) => {
            let row = rows
                .get_mut(&id)
                .ok_or_else(|| ApplyError::event(recorded, "the product was never added"))?;
            match event {
                Event::Changed(changed) => row.describe(changed.details),
                Event::Removed(_) => row.removed = true,
                Event::Added(_) => {}
            }
            row
        }
    };
    row.version = following(recorded, row.version)?;
    row.updated_at = recorded.metadata.occurred_at;
    Ok(())
}

impl Row {
    fn new(id: Uuid, added: Added, at: Timestamp) -> Self {
        let Added {
            sku,
            sku_key: _,
            partner_id,
            details,
        } = added;
        let mut row = Self {
            id,
            sku,
            partner_id: partner_id.map(Uuid::from),
            name: String::new(),
            brand: String::new(),
            category: String::new(),
            size: None,
            color: None,
            description: None,
            picture_url: None,
            unit_cost: 0,
            unit_cost_currency: String::new(),
            removed: false,
            version: 0,
            created_at: at,
            updated_at: at,
        };
        row.describe(details);
        row
    }

    fn describe(&mut self, details: Details) {
        let Details {
            name,
            brand,
            category,
            size,
            color,
            description,
            picture_url,
            unit_cost,
        } = details;
        self.name = name;
        self.brand = brand;
        self.category = category;
        self.size = size;
        self.color = color;
        self.description = description;
        self.picture_url = picture_url;
        self.unit_cost = unit_cost.amount;
        self.unit_cost_currency = unit_cost.currency.code().to_owned();
    }
}

async fn write(batch: &mut Batch<'_>, rows: Vec<Row>) -> Result<(), ApplyError> {
    sqlx::query(batch.sql(
        "insert into read.products
             (id, sku, partner_id, name, brand, category, size, color, description, picture_url,
              unit_cost, unit_cost_currency, removed, version, created_at, updated_at)
         select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
                              $8::text[], $9::text[], $10::text[], $11::bigint[], $12::text[], $13::boolean[],
                              $14::bigint[], $15::timestamptz[], $16::timestamptz[])
         on conflict (id) do update
         set name = excluded.name, brand = excluded.brand, category = excluded.category, size = excluded.size,
             color = excluded.color, description = excluded.description, picture_url = excluded.picture_url,
             unit_cost = excluded.unit_cost, unit_cost_currency = excluded.unit_cost_currency,
             removed = excluded.removed, version = excluded.version, updated_at = excluded.updated_at",
    ))
    .bind(column!(rows, id))
    .bind(column!(rows, sku))
    .bind(column!(rows, partner_id))
    .bind(column!(rows, name))
    .bind(column!(rows, brand))
    .bind(column!(rows, category))
    .bind(column!(rows, size))
    .bind(column!(rows, color))
    .bind(column!(rows, description))
    .bind(column!(rows, picture_url))
    .bind(column!(rows, unit_cost))
    .bind(column!(rows, unit_cost_currency))
    .bind(column!(rows, removed))
    .bind(column!(rows, version))
    .bind(times!(rows, created_at))
    .bind(times!(rows, updated_at))
    .execute(batch.connection())
    .await?;
    Ok(())
}
