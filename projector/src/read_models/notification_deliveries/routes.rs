//! GET /v1/notification-deliveries and /v1/notification-deliveries/{id}: for admins.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::types::Json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use event_schema::Timestamp;
use service_kit::cursor::{Page, PageParams, PageRequest};
use service_kit::extract::{Path, Query};
use service_kit::{Access, ApiRouter, Problem, Role, routes};

use super::NAME;
use super::row::Attempt;
use crate::http::{Answer, Asked, ReadSide, database};

const READS: &[&str] = &[NAME];
const ADMINS: Access = Access::Roles(&[Role::Admin]);

/// A message that leaves the house. To whom it really goes (an address, a number, a device) is looked up when it is sent,
/// and kept nowhere here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
#[schema(as = NotificationDelivery)]
pub struct Delivery {
    /// Its id; the same for every attempt, and the provider's idempotency key.
    pub id: Uuid,
    /// The order it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<Uuid>,
    /// Such as order_confirmed.
    #[schema(example = "order_confirmed")]
    pub kind: String,
    /// `email`, `sms`, `push` or `webhook`.
    #[schema(example = "email")]
    pub channel: String,
    /// Who is told: the id of a customer or of a partner.
    pub recipient: Uuid,
    /// `customer` or `partner`.
    #[schema(example = "customer")]
    pub recipient_type: String,
    /// Who was asked last; null before the first attempt.
    #[schema(example = "smtp")]
    pub provider: Option<String>,
    /// That provider's name for the message, if it gave one.
    pub provider_id: Option<String>,
    /// `sent`, `rejected`, `failed` or `unknown` when it has ended; `pending` before.
    #[schema(example = "sent")]
    pub status: String,
    /// Why, as a short code.
    pub cause: Option<String>,
    /// How often it was tried.
    pub attempt: i64,
    /// Every attempt, the first one first.
    #[schema(value_type = Vec<Attempt>)]
    pub attempts: Json<Vec<Attempt>>,
    /// The agent by whose settings it goes out.
    #[schema(example = "orders")]
    pub agent: String,
    /// `high`, `normal` or `low`.
    pub priority: String,
    /// The message that it repeats, because somebody asked for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<Uuid>,
    /// When it was intended.
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub created_at: Timestamp,
    /// When something last became of it.
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub updated_at: Timestamp,
    #[serde(skip)]
    position: i64,
}

/// How a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DeliveryStatus)]
enum Status {
    Pending,
    Sent,
    Rejected,
    Failed,
    Unknown,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => super::row::PENDING,
            Self::Sent => "sent",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// A way out of the house.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DeliveryChannel)]
enum Channel {
    Email,
    Sms,
    Push,
    Webhook,
}

impl Channel {
    fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
            Self::Push => "push",
            Self::Webhook => "webhook",
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only messages about this order.
    order_id: Option<Uuid>,
    /// Only messages that stand so.
    status: Option<Status>,
    /// Only messages of this channel.
    channel: Option<Channel>,
    /// Only messages to this customer or partner.
    recipient: Option<Uuid>,
    /// Only messages to this partner.
    partner_id: Option<Uuid>,
}

/// A query over messages.
macro_rules! deliveries {
    ($rest:literal) => {
        concat!(
            "select id, order_id, kind, channel, recipient, recipient_type, provider, provider_id, status, cause, attempt,
                    attempts, agent, priority, replay_of, created_at, updated_at, position
             from read.notification_deliveries ",
            $rest
        )
    };
}

pub(crate) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(ADMINS, routes!(list))
        .routes(ADMINS, routes!(show))
}

/// The messages that leave the house with every attempt, newest first.
#[utoipa::path(
    get, path = "/v1/notification-deliveries", tag = "notifications", operation_id = "list_notification_deliveries",
    params(Filter, PageParams),
    responses((status = 200, description = "A page of messages", body = Page<Delivery>))
)]
async fn list(
    State(read): State<ReadSide>,
    asked: Asked,
    page: PageRequest<(i64, Uuid)>,
    Query(filter): Query<Filter>,
) -> Result<Answer<Page<Delivery>>, Problem> {
    let reading = read.reading(asked, READS, None).await?;
    let (position, id) = page.after.unzip();
    let rows: Vec<Delivery> = sqlx::query_as(deliveries!(
        "where ($1::uuid is null or (history = $1 and order_id = $1))
           and ($2::text is null or status = $2) and ($3::text is null or channel = $3)
           and ($4::uuid is null or recipient = $4)
           and ($5::uuid is null or (recipient = $5 and recipient_type = 'partner'))
           and ($6::bigint is null or (position, id) < ($6, $7))
         order by position desc, id desc limit $8"
    ))
    .bind(filter.order_id)
    .bind(filter.status.map(Status::as_str))
    .bind(filter.channel.map(Channel::as_str))
    .bind(filter.recipient)
    .bind(filter.partner_id)
    .bind(position)
    .bind(id)
    .bind(page.fetch())
    .fetch_all(read.pool())
    .await
    .map_err(database)?;
    Ok(reading.answer(Page::from_surplus(rows, page.limit, |row| {
        (row.position, row.id)
    })))
}

/// One message.
#[utoipa::path(
    get, path = "/v1/notification-deliveries/{id}", tag = "notifications", operation_id = "show_notification_delivery",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The message", body = Delivery), (status = 404, description = "No such message"))
)]
async fn show(
    State(read): State<ReadSide>,
    asked: Asked,
    Path(id): Path<Uuid>,
) -> Result<Answer<Delivery>, Problem> {
    // What is held back is held back by the history, which the id does not tell.
    let reading = read.reading(asked, READS, None).await?;
    let row: Option<Delivery> = sqlx::query_as(deliveries!("where id = $1"))
        .bind(id)
        .fetch_optional(read.pool())
        .await
        .map_err(database)?;
    let row = row.ok_or_else(|| Problem::not_found(format!("there is no message {id}")))?;
    Ok(reading.answer(row))
}

/// The history in which a message is kept.
pub(crate) async fn history_of(pool: &PgPool, delivery: Uuid) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar("select history from read.notification_deliveries where id = $1")
        .bind(delivery)
        .fetch_optional(pool)
        .await
}
