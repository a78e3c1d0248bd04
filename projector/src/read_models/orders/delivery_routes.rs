//! GET /v1/deliveries: what waits for a deliverer, and what he brings and has brought; all of it for admins.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use event_schema::Timestamp;
use service_kit::cursor::{Page, PageParams, PageRequest};
use service_kit::extract::Query;
use service_kit::{Access, ApiRouter, Caller, Problem, Role, routes};

use super::NAME;
use super::row::Line;
use super::show::OrderPartner;
use crate::http::{Answer, Asked, ReadSide, database};
use crate::read_models::catalogue;

/// Orders, and their partners' names.
const READS: &[&str] = &[NAME, catalogue::NAME];
const ALLOWED: Access = Access::Roles(&[Role::Deliverer, Role::Admin]);

/// Where an order is between the partner and the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// On its way.
    Delivering,
    /// Waits for a deliverer.
    Ready,
    /// The customer has it.
    Delivered,
}

impl DeliveryStatus {
    /// In the order of the list: first what is to be done.
    const ALL: [Self; 3] = [Self::Delivering, Self::Ready, Self::Delivered];

    fn as_str(self) -> &'static str {
        match self {
            Self::Delivering => "delivering",
            Self::Ready => "ready",
            Self::Delivered => "delivered",
        }
    }
}

/// An order as a deliverer needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrderToDeliver {
    /// The order's id.
    pub id: Uuid,
    /// The same id, as others call it.
    pub order_id: Uuid,
    /// Where it is.
    pub status: DeliveryStatus,
    /// Who has prepared it.
    pub partner: OrderPartner,
    /// What there is to carry.
    pub lines: Vec<LineToDeliver>,
    /// Where it is picked up.
    #[schema(example = "1 Main Street, back door")]
    pub pickup_address: Option<String>,
    /// Where it goes; for a deliverer only from when he has taken it until he has delivered it.
    #[schema(example = "5 Elm Street, Springfield")]
    pub delivery_address: Option<String>,
    /// Whom to call; for a deliverer only from when he has taken it until he has delivered it.
    #[schema(example = "+49 30 5550111")]
    pub phone: Option<String>,
    /// Who brings it.
    pub deliverer_id: Option<Uuid>,
    /// When it was ordered.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When something about it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// How many events the order itself has, for `If-Match`.
    pub version: i64,
}

/// One product to carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LineToDeliver {
    /// Which product.
    pub product_id: Uuid,
    /// Its name.
    pub name: String,
    /// How many.
    pub quantity: u32,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only orders with this status.
    #[param(inline)]
    status: Option<DeliveryStatus>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    partner_id: Uuid,
    partner_title: Option<String>,
    partner_brand: Option<String>,
    lines: Json<Vec<Line>>,
    pickup_address: Option<String>,
    delivery_address: Option<String>,
    phone: Option<String>,
    deliverer_id: Option<Uuid>,
    version: i64,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    created_at: Timestamp,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    updated_at: Timestamp,
}

/// Columns and the beginning of the condition, which the two orders of rows share.
macro_rules! deliveries {
    ($rest:literal) => {
        concat!(
            "select o.id, o.partner_id, p.title as partner_title, p.brand as partner_brand, o.lines, o.pickup_address,
                    o.delivery_address, o.phone, o.deliverer_id, o.version, o.created_at, o.updated_at
             from read.orders o left join read.partners p on p.id = o.partner_id
             where o.status = $1 and o.partner_id is not null and ($2::uuid is null or o.deliverer_id = $2) ",
            $rest
        )
    };
}
/// What has waited longest comes first.
const OLDEST_FIRST: &str = deliveries!(
    "and ($3::timestamptz is null or (o.created_at, o.id) > ($3, $4)) order by o.created_at, o.id limit $5"
);
/// What is over is read backwards.
const NEWEST_FIRST: &str = deliveries!(
    "and ($3::timestamptz is null or (o.created_at, o.id) < ($3, $4))
     order by o.created_at desc, o.id desc limit $5"
);

pub(super) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(ALLOWED, routes!(list))
}

/// What the caller brings, then what waits for a deliverer (both oldest first), then what he has delivered (newest
/// first). An admin sees everybody's.
#[utoipa::path(
    get, path = "/v1/deliveries", tag = "deliveries", operation_id = "list_deliveries", params(Filter, PageParams),
    responses(
        (status = 200, description = "A page of orders to deliver", body = Page<OrderToDeliver>),
        (status = 400, description = "`cursor_invalid`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid`: `limit` or `status`", body = Problem,
            content_type = "application/problem+json"),
    )
)]
async fn list(
    State(read): State<ReadSide>,
    caller: Caller,
    asked: Asked,
    page: PageRequest<(DeliveryStatus, Timestamp, Uuid)>,
    Query(filter): Query<Filter>,
) -> Result<Answer<Page<OrderToDeliver>>, Problem> {
    let reading = read.reading(asked, READS, None).await?;
    let is_admin = caller.is(Role::Admin);
    let mut found = Vec::new();
    let mut after = page.after;
    let left_off = after.map(|(status, ..)| status);
    let stages = DeliveryStatus::ALL
        .into_iter()
        .skip_while(|status| left_off.is_some_and(|from| from != *status))
        .filter(|status| filter.status.is_none_or(|only| only == *status));
    for status in stages {
        let missing = page.fetch() - i64::try_from(found.len()).unwrap_or(i64::MAX);
        if missing <= 0 {
            break;
        }
        // A cursor says where one stage was left off; those after it are read from their beginning.
        let (at, id) = after
            .take()
            .filter(|(from, ..)| *from == status)
            .map(|(_, at, id)| (at, id))
            .unzip();
        let whose = (!is_admin && status != DeliveryStatus::Ready).then_some(caller.subject);
        let statement = match status {
            DeliveryStatus::Delivering | DeliveryStatus::Ready => OLDEST_FIRST,
            DeliveryStatus::Delivered => NEWEST_FIRST,
        };
        let rows: Vec<Row> = sqlx::query_as(statement)
            .bind(status.as_str())
            .bind(whose)
            .bind(at.map(jiff_sqlx::Timestamp::from))
            .bind(id)
            .bind(missing)
            .fetch_all(read.pool())
            .await
            .map_err(database)?;
        found.extend(rows.into_iter().map(|row| row.show(status, is_admin)));
    }
    let page = Page::from_surplus(found, page.limit, |order| {
        (order.status, order.created_at, order.id)
    });
    Ok(reading.answer(page))
}

impl Row {
    /// A deliverer learns where the customer lives when he has to go there, and not before or after.
    fn show(self, status: DeliveryStatus, for_admin: bool) -> OrderToDeliver {
        let needed = for_admin || status == DeliveryStatus::Delivering;
        let lines = self.lines.0.into_iter().map(|line| LineToDeliver {
            product_id: line.product_id,
            name: line.name,
            quantity: line.quantity,
        });
        OrderToDeliver {
            id: self.id,
            order_id: self.id,
            status,
            partner: OrderPartner {
                id: self.partner_id,
                title: self.partner_title,
                brand: self.partner_brand,
            },
            lines: lines.collect(),
            pickup_address: self.pickup_address,
            delivery_address: self.delivery_address.filter(|_| needed),
            phone: self.phone.filter(|_| needed),
            deliverer_id: self.deliverer_id,
            created_at: self.created_at,
            updated_at: self.updated_at,
            version: self.version,
        }
    }
}
