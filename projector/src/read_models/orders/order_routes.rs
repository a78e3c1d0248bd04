//! GET /v1/orders and /v1/orders/{id}: a customer's own, a partner's own, all for admins.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use event_schema::Timestamp;
use service_kit::cursor::{Page, PageParams, PageRequest};
use service_kit::extract::{Path, Query};
use service_kit::{Access, ApiRouter, Caller, Problem, Role, routes};

use super::NAME;
use super::show::{Found, Order, Whose};
use crate::http::{Answer, Asked, ReadSide, database};
use crate::read_models::catalogue;

/// Orders, and their partners' names.
const READS: &[&str] = &[NAME, catalogue::NAME];
/// Who may ask at all; what he sees is his own.
pub(super) const ALLOWED: Access = Access::Roles(&[Role::Customer, Role::Partner, Role::Admin]);

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only orders with this status.
    status: Option<String>,
}

pub(super) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(ALLOWED, routes!(list))
        .routes(ALLOWED, routes!(show))
}

/// The caller's orders (an admin: all), newest first.
#[utoipa::path(
    get, path = "/v1/orders", tag = "orders", operation_id = "list_orders", params(Filter, PageParams),
    responses((status = 200, description = "A page of orders", body = Page<Order>))
)]
async fn list(
    State(read): State<ReadSide>,
    caller: Caller,
    asked: Asked,
    page: PageRequest<(Timestamp, Uuid)>,
    Query(filter): Query<Filter>,
) -> Result<Answer<Page<Order>>, Problem> {
    let reading = read.reading(asked, READS, None).await?;
    let whose = Whose::of(&caller);
    let (at, id) = page.after.unzip();
    let rows: Vec<Found> = sqlx::query_as(
        "select o.*, p.title as partner_title, p.brand as partner_brand
         from read.orders o left join read.partners p on p.id = o.partner_id
         where o.customer_id is not null and ($1 or o.customer_id = $2 or o.partner_id = $3)
           and ($4::text is null or o.status = $4)
           and ($5::timestamptz is null or (o.created_at, o.id) < ($5, $6))
         order by o.created_at desc, o.id desc limit $7",
    )
    .bind(whose.everybodys)
    .bind(whose.customer)
    .bind(whose.partner)
    .bind(filter.status)
    .bind(at.map(jiff_sqlx::Timestamp::from))
    .bind(id)
    .bind(page.fetch())
    .fetch_all(read.pool())
    .await
    .map_err(database)?;
    let page = Page::from_surplus(rows, page.limit, |found| {
        (found.row.created_at, found.row.id)
    });
    let Page {
        data,
        next_cursor,
        has_more,
    } = page;
    let data = data
        .into_iter()
        .filter_map(|found| found.show(whose))
        .collect();
    Ok(reading.answer(Page {
        data,
        next_cursor,
        has_more,
    }))
}

/// One order.
#[utoipa::path(
    get, path = "/v1/orders/{id}", tag = "orders", operation_id = "show_order", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The order", body = Order), (status = 404, description = "No such order"))
)]
async fn show(
    State(read): State<ReadSide>,
    caller: Caller,
    asked: Asked,
    Path(id): Path<Uuid>,
) -> Result<Answer<Order>, Problem> {
    let reading = read.reading(asked, READS, Some(id)).await?;
    let whose = Whose::of(&caller);
    let order = find(&read, id, whose)
        .await?
        .and_then(|found| found.show(whose));
    let order = order.ok_or_else(|| reading.nothing(format!("there is no order {id}")))?;
    let version = order.version;
    Ok(reading.answer(order).version(version))
}

/// An order, if the caller may see it.
pub(super) async fn find(
    read: &ReadSide,
    id: Uuid,
    whose: Whose,
) -> Result<Option<Found>, Problem> {
    sqlx::query_as(
        "select o.*, p.title as partner_title, p.brand as partner_brand
         from read.orders o left join read.partners p on p.id = o.partner_id
         where o.id = $1 and o.customer_id is not null and ($2 or o.customer_id = $3 or o.partner_id = $4)",
    )
    .bind(id)
    .bind(whose.everybodys)
    .bind(whose.customer)
    .bind(whose.partner)
    .fetch_optional(read.pool())
    .await
    .map_err(database)
}
