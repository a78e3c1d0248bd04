//! One row a message: how events change it, how it is read and written back.

use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use event_schema::notification::{AttemptEnded, Attempted, Event, Intended, Recipient};
use event_schema::{Recorded, Timestamp};

use crate::projection::{ApplyError, Batch};
use crate::read_models::{column, times};

/// Nothing has come of it yet.
pub(super) const PENDING: &str = "pending";

/// One attempt to send a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DeliveryAttempt)]
pub struct Attempt {
    /// The attempt, from 1.
    pub attempt: u32,
    /// Who was asked.
    #[schema(example = "smtp")]
    pub provider: String,
    /// The provider's name for the message, if it gave one.
    pub provider_id: Option<String>,
    /// `sent`, `rejected`, `transient` (nothing was sent, another try may work) or `unknown` (it may have been sent or
    /// not); null while it is not known yet.
    #[schema(example = "sent")]
    pub outcome: Option<String>,
    /// Why, as a short code.
    pub cause: Option<String>,
    /// When the provider was asked.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When the outcome was recorded.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// When it was to be tried again.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub retry_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub(super) struct Row {
    pub(super) id: Uuid,
    history: Uuid,
    event_id: Uuid,
    order_id: Option<Uuid>,
    kind: String,
    channel: String,
    recipient: Uuid,
    recipient_type: String,
    agent: String,
    agent_version: i64,
    priority: String,
    provider: Option<String>,
    provider_id: Option<String>,
    attempt: i64,
    status: String,
    cause: Option<String>,
    attempts: Json<Vec<Attempt>>,
    replay_of: Option<Uuid>,
    not_before: Option<jiff_sqlx::Timestamp>,
    position: i64,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    created_at: Timestamp,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    updated_at: Timestamp,
}

impl Row {
    pub(super) fn new(
        recorded: &Recorded,
        history: Uuid,
        intended: &Intended,
    ) -> Result<Self, ApplyError> {
        let number =
            |number: u64| i64::try_from(number).map_err(|error| ApplyError::event(recorded, error));
        let recipient_type = match intended.recipient {
            Recipient::Customer(_) => "customer",
            Recipient::Partner(_) => "partner",
        };
        Ok(Self {
            id: intended.delivery_id.uuid(),
            history,
            event_id: intended.event_id,
            order_id: intended.order_id.map(Uuid::from),
            kind: intended.kind.as_str().to_owned(),
            channel: intended.channel.as_str().to_owned(),
            recipient: intended.recipient.uuid(),
            recipient_type: recipient_type.to_owned(),
            agent: intended.agent.name.clone(),
            agent_version: number(intended.agent.version)?,
            priority: intended.priority.as_str().to_owned(),
            provider: None,
            provider_id: None,
            attempt: 0,
            status: PENDING.to_owned(),
            cause: None,
            attempts: Json(Vec::new()),
            replay_of: intended.replay_of.map(Uuid::from),
            not_before: intended.not_before.map(jiff_sqlx::Timestamp::from),
            position: number(recorded.position.0)?,
            created_at: intended.intended_at,
            updated_at: recorded.metadata.occurred_at,
        })
    }

    /// What the event says.
    pub(super) fn fold(&mut self, recorded: &Recorded, event: &Event) {
        match event {
            Event::Intended(_) => {}
            Event::Attempted(e) => self.attempted(e),
            Event::AttemptEnded(e) => self.ended(recorded, e),
            Event::Settled(e) => {
                self.status = e.status.as_str().to_owned();
                self.cause.clone_from(&e.cause);
            }
        }
        self.updated_at = recorded.metadata.occurred_at;
    }

    fn attempted(&mut self, attempted: &Attempted) {
        let Attempted {
            attempt,
            provider,
            at,
            ..
        } = attempted;
        self.attempt = i64::from(*attempt);
        self.provider = Some(provider.clone());
        self.provider_id = None;
        self.attempts.push(Attempt {
            attempt: *attempt,
            provider: provider.clone(),
            provider_id: None,
            outcome: None,
            cause: None,
            started_at: *at,
            ended_at: None,
            retry_at: None,
        });
    }

    /// An attempt may end twice: when it was unknown, and somebody knows more later.
    fn ended(&mut self, recorded: &Recorded, ended: &AttemptEnded) {
        let found = self
            .attempts
            .iter_mut()
            .rfind(|attempt| attempt.attempt == ended.attempt);
        let Some(attempt) = found else { return };
        attempt.outcome = Some(ended.outcome.as_str().to_owned());
        attempt.provider_id.clone_from(&ended.provider_id);
        attempt.cause.clone_from(&ended.cause);
        attempt.ended_at = Some(recorded.metadata.occurred_at);
        attempt.retry_at = ended.retry_at;
        if i64::from(ended.attempt) == self.attempt {
            self.provider_id.clone_from(&ended.provider_id);
            self.cause.clone_from(&ended.cause);
        }
    }
}

pub(super) async fn load(batch: &mut Batch<'_>, ids: &[Uuid]) -> Result<Vec<Row>, ApplyError> {
    Ok(
        sqlx::query_as(batch.sql("select * from read.notification_deliveries where id = any($1)"))
            .bind(ids)
            .fetch_all(batch.connection())
            .await?,
    )
}

pub(super) async fn write(batch: &mut Batch<'_>, rows: &[Row]) -> Result<(), ApplyError> {
    let attempts: Vec<Json<&Vec<Attempt>>> = rows.iter().map(|row| Json(&row.attempts.0)).collect();
    sqlx::query(batch.sql(
        "insert into read.notification_deliveries
             (id, history, event_id, order_id, kind, channel, recipient, recipient_type, agent, agent_version, priority,
              provider, provider_id, attempt, status, cause, attempts, replay_of, not_before, position, created_at,
              updated_at)
         select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::uuid[],
                              $8::text[], $9::text[], $10::bigint[], $11::text[], $12::text[], $13::text[],
                              $14::bigint[], $15::text[], $16::text[], $17::jsonb[], $18::uuid[], $19::timestamptz[],
                              $20::bigint[], $21::timestamptz[], $22::timestamptz[])
         on conflict (id) do update
         set provider = excluded.provider, provider_id = excluded.provider_id, attempt = excluded.attempt,
             status = excluded.status, cause = excluded.cause, attempts = excluded.attempts,
             updated_at = excluded.updated_at",
    ))
    .bind(column!(rows, id))
    .bind(column!(rows, history))
    .bind(column!(rows, event_id))
    .bind(column!(rows, order_id))
    .bind(column!(rows, kind))
    .bind(column!(rows, channel))
    .bind(column!(rows, recipient))
    .bind(column!(rows, recipient_type))
    .bind(column!(rows, agent))
    .bind(column!(rows, agent_version))
    .bind(column!(rows, priority))
    .bind(column!(rows, provider))
    .bind(column!(rows, provider_id))
    .bind(column!(rows, attempt))
    .bind(column!(rows, status))
    .bind(column!(rows, cause))
    .bind(attempts)
    .bind(column!(rows, replay_of))
    .bind(column!(rows, not_before))
    .bind(column!(rows, position))
    .bind(times!(rows, created_at))
    .bind(times!(rows, updated_at))
    .execute(batch.connection())
    .await?;
    Ok(())
}
