//! Partners' events as rows.

use std::collections::BTreeMap;

use uuid::Uuid;

use event_schema::partner::{Added, Changed, Event};
use event_schema::{Recorded, Timestamp};

use crate::projection::{ApplyError, Batch, decode, following, ids};
use crate::read_models::{column, times};

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    title: String,
    brand: String,
    phone: String,
    email: String,
    address: String,
    webhook_url: Option<String>,
    verified: bool,
    enabled: bool,
    webhook_disabled: Option<String>,
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
        sqlx::query_as(batch.sql("select * from read.partners where id = any($1)"))
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
    let event = decode(recorded)?;
    if let Event::Added(added) = &event {
        rows.entry(id)
            .or_insert_with(|| Row::new(id, added.clone(), recorded.metadata.occurred_at));
    }
    let row = rows
        .get_mut(&id)
        .ok_or_else(|| ApplyError::event(recorded, "the partner was never added"))?;
    match event {
        Event::Added(_) => {}
        Event::Changed(changed) => {
            row.describe(changed);
            row.webhook_disabled = None;
        }
        Event::Verified(_) => row.verified = true,
        Event::Enabled(_) => {
            row.enabled = true;
            row.webhook_disabled = None;
        }
        Event::Disabled(_) => row.enabled = false,
        Event::WebhookDisabled(disabled) => row.webhook_disabled = Some(disabled.cause),
    }
    row.version = following(recorded, row.version)?;
    row.updated_at = recorded.metadata.occurred_at;
    Ok(())
}

impl Row {
    fn new(id: Uuid, added: Added, at: Timestamp) -> Self {
        let Added {
            title,
            brand,
            phone,
            email,
            address,
            webhook_url,
        } = added;
        Self {
            id,
            title,
            brand,
            phone,
            email,
            address,
            webhook_url,
            verified: false,
            enabled: false,
            webhook_disabled: None,
            version: 0,
            created_at: at,
            updated_at: at,
        }
    }

    fn describe(&mut self, changed: Changed) {
        let Changed {
            title,
            brand,
            phone,
            email,
            address,
            webhook_url,
        } = changed;
        self.title = title;
        self.brand = brand;
        self.phone = phone;
        self.email = email;
        self.address = address;
        self.webhook_url = webhook_url;
    }
}

async fn write(batch: &mut Batch<'_>, rows: Vec<Row>) -> Result<(), ApplyError> {
    sqlx::query(batch.sql(
        "insert into read.partners
             (id, title, brand, phone, email, address, webhook_url, verified, enabled, version, created_at, updated_at,
              webhook_disabled)
         select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                              $8::boolean[], $9::boolean[], $10::bigint[], $11::timestamptz[], $12::timestamptz[],
                              $13::text[])
         on conflict (id) do update
         set title = excluded.title, brand = excluded.brand, phone = excluded.phone, email = excluded.email,
             address = excluded.address, webhook_url = excluded.webhook_url, verified = excluded.verified,
             enabled = excluded.enabled, version = excluded.version, updated_at = excluded.updated_at,
             webhook_disabled = excluded.webhook_disabled",
    ))
    .bind(column!(rows, id))
    .bind(column!(rows, title))
    .bind(column!(rows, brand))
    .bind(column!(rows, phone))
    .bind(column!(rows, email))
    .bind(column!(rows, address))
    .bind(column!(rows, webhook_url))
    .bind(column!(rows, verified))
    .bind(column!(rows, enabled))
    .bind(column!(rows, version))
    .bind(times!(rows, created_at))
    .bind(times!(rows, updated_at))
    .bind(column!(rows, webhook_disabled))
    .execute(batch.connection())
    .await?;
    Ok(())
}
