//! One row a customer: how events change it, how it is read and written back.

use std::collections::BTreeMap;

use sqlx::types::Json;
use uuid::Uuid;

use event_schema::customer::{Event, Role};
use event_schema::{PersonalKey, Recorded, Sealed, Timestamp};

use super::preferences::Preferences;
use crate::personal::open;
use crate::projection::{ApplyError, Batch};
use crate::read_models::{column, times};

/// Whether the account can be used.
const ACTIVE: &str = "active";
const DEACTIVATED: &str = "deactivated";
const ERASED: &str = "erased";

#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub(super) struct Row {
    pub(super) id: Uuid,
    name: Option<String>,
    email: Option<String>,
    role: String,
    pub(super) version: i64,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    created_at: Timestamp,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    updated_at: Timestamp,
    phone: Option<String>,
    birth_date: Option<String>,
    email_verified: bool,
    partner_id: Option<Uuid>,
    avatar: Option<String>,
    avatar_type: Option<String>,
    status: String,
    preferences: Option<Json<Preferences>>,
}

impl Row {
    pub(super) fn new(id: Uuid, at: Timestamp) -> Self {
        Self {
            id,
            name: None,
            email: None,
            role: role(Role::Customer).to_owned(),
            version: 0,
            created_at: at,
            updated_at: at,
            phone: None,
            birth_date: None,
            email_verified: false,
            partner_id: None,
            avatar: None,
            avatar_type: None,
            status: ACTIVE.to_owned(),
            preferences: None,
        }
    }

    /// What the event says, opened with the keys there still are.
    pub(super) fn fold(
        &mut self,
        event: &Event,
        recorded: &Recorded,
        keys: &BTreeMap<Uuid, PersonalKey>,
    ) -> Result<(), ApplyError> {
        let opened = |sealed: &Sealed<String>| open(recorded, sealed, keys);
        let optional = |sealed: &Option<Sealed<String>>| sealed.as_ref().map_or(Ok(None), opened);
        match event {
            Event::Added(e) => {
                self.name = opened(&e.name)?;
                self.email = opened(&e.email)?;
                self.role = role(e.role).to_owned();
            }
            Event::ProfileChanged(e) => {
                self.name = opened(&e.name)?;
                self.phone = optional(&e.phone)?;
                self.birth_date = optional(&e.birth_date)?;
            }
            Event::EmailChanged(e) => {
                self.email = opened(&e.email)?;
                self.email_verified = false;
            }
            Event::EmailVerified(_) => self.email_verified = true,
            Event::RoleChanged(e) => {
                self.role = role(e.role).to_owned();
                self.partner_id = e.partner_id.map(|partner| partner.0);
            }
            Event::AvatarChanged(e) => {
                self.avatar = Some(e.digest.clone());
                self.avatar_type = Some(e.media_type.clone());
            }
            Event::Deactivated(_) => self.status = DEACTIVATED.to_owned(),
            Event::Erased(_) => self.redact(),
            Event::ChannelsChosen(e) => self.preferences = Some(Json(e.into())),
            // Nobody is shown the token.
            Event::PushTokenDropped(_) => {}
        }
        self.updated_at = recorded.metadata.occurred_at;
        Ok(())
    }

    fn redact(&mut self) {
        self.name = None;
        self.email = None;
        self.phone = None;
        self.birth_date = None;
        self.email_verified = false;
        self.avatar = None;
        self.avatar_type = None;
        self.preferences = None;
        self.status = ERASED.to_owned();
    }
}

/// Whose personal data the event holds.
pub(super) fn person(event: &Event) -> Option<Uuid> {
    match event {
        Event::Added(e) => Some(e.name.person),
        Event::ProfileChanged(e) => Some(e.name.person),
        Event::EmailChanged(e) => Some(e.email.person),
        Event::EmailVerified(_)
        | Event::RoleChanged(_)
        | Event::AvatarChanged(_)
        | Event::Deactivated(_)
        | Event::Erased(_)
        | Event::ChannelsChosen(_)
        | Event::PushTokenDropped(_) => None,
    }
}

pub(super) async fn load(batch: &mut Batch<'_>, ids: &[Uuid]) -> Result<Vec<Row>, ApplyError> {
    Ok(
        sqlx::query_as(batch.sql("select * from read.customers where id = any($1)"))
            .bind(ids)
            .fetch_all(batch.connection())
            .await?,
    )
}

pub(super) async fn write(batch: &mut Batch<'_>, rows: &[Row]) -> Result<(), ApplyError> {
    sqlx::query(batch.sql(
        "insert into read.customers
             (id, name, email, role, version, created_at, updated_at, phone, birth_date, email_verified, partner_id,
              avatar, avatar_type, status, preferences)
         select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[],
                              $7::timestamptz[], $8::text[], $9::text[], $10::boolean[], $11::uuid[], $12::text[],
                              $13::text[], $14::text[], $15::jsonb[])
         on conflict (id) do update
         set name = excluded.name, email = excluded.email, role = excluded.role, version = excluded.version,
             updated_at = excluded.updated_at, phone = excluded.phone, birth_date = excluded.birth_date,
             email_verified = excluded.email_verified, partner_id = excluded.partner_id, avatar = excluded.avatar,
             avatar_type = excluded.avatar_type, status = excluded.status, preferences = excluded.preferences",
    ))
    .bind(column!(rows, id))
    .bind(column!(rows, name))
    .bind(column!(rows, email))
    .bind(column!(rows, role))
    .bind(column!(rows, version))
    .bind(times!(rows, created_at))
    .bind(times!(rows, updated_at))
    .bind(column!(rows, phone))
    .bind(column!(rows, birth_date))
    .bind(column!(rows, email_verified))
    .bind(column!(rows, partner_id))
    .bind(column!(rows, avatar))
    .bind(column!(rows, avatar_type))
    .bind(column!(rows, status))
    .bind(column!(rows, preferences))
    .execute(batch.connection())
    .await?;
    Ok(())
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Customer => "customer",
        Role::Deliverer => "deliverer",
        Role::Partner => "partner",
        Role::Admin => "admin",
    }
}
