//! GET /v1/inventory and /v1/inventory/{product_id}: for admins, and for partners about what they look after.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use service_kit::cursor::{Page, PageParams, PageRequest};
use service_kit::extract::{Path, Query};
use service_kit::{Access, ApiRouter, Caller, Problem, Role, routes};

use super::{NAME, live};
use crate::http::{Answer, Asked, ReadSide, database};
use crate::read_models::catalogue;

/// Rows are made of these: stock, and the products' names and owners.
const READS: &[&str] = &[NAME, catalogue::NAME];
pub(super) const ALLOWED: Access = Access::Roles(&[Role::Admin, Role::Partner]);

/// The stock of one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Stock {
    /// Which product.
    pub product_id: Uuid,
    /// Its SKU.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// Units that ever arrived, corrected by adjustments.
    pub received: i64,
    /// Units that can be sold.
    pub available: i64,
    /// Units put aside for orders.
    pub held: i64,
    /// Units sold.
    pub sold: i64,
    /// At or below this many available units the stock is low.
    pub low_stock_threshold: i64,
    /// Whether it is.
    pub low: bool,
    #[serde(skip)]
    pub(super) version: i64,
    /// Of the last change.
    #[serde(skip)]
    pub(super) position: i64,
}

/// The stocks that a partner looks after: those of his own products, and of the shop's products that he offers; all of
/// them where no partner is named. `$1` is the partner, the rest is the caller's.
macro_rules! stocks {
    ($rest:literal) => {
        concat!(
            "select p.id as product_id, p.sku, p.name,
                    coalesce(i.received, 0) as received,
                    coalesce(i.received - i.held - i.sold, 0) as available,
                    coalesce(i.held, 0) as held, coalesce(i.sold, 0) as sold,
                    coalesce(i.low_stock_threshold, 0) as low_stock_threshold,
                    coalesce(i.received - i.held - i.sold <= i.low_stock_threshold, true) as low,
                    coalesce(i.version, 0) as version, coalesce(i.position, 0) as position
             from read.products p left join read.inventory i on i.product_id = p.id
             where ($1::uuid is null or p.partner_id = $1 or (p.partner_id is null and exists (
                 select 1 from read.offers o where o.product_id = p.id and o.partner_id = $1 and not o.removed))) ",
            $rest
        )
    };
}
pub(super) use stocks;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only products whose stock is low, or only those whose stock is not.
    low: Option<bool>,
}

pub(crate) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(ALLOWED, routes!(list))
        .routes(ALLOWED, routes!(live::live))
        .routes(ALLOWED, routes!(show))
}

/// The stock of all products (a partner: of those that he looks after), by name.
#[utoipa::path(
    get, path = "/v1/inventory", tag = "inventory", operation_id = "list_stocks", params(Filter, PageParams),
    responses((status = 200, description = "A page of stocks", body = Page<Stock>))
)]
async fn list(
    State(read): State<ReadSide>,
    caller: Caller,
    asked: Asked,
    page: PageRequest<(String, Uuid)>,
    Query(filter): Query<Filter>,
) -> Result<Answer<Page<Stock>>, Problem> {
    let reading = read.reading(asked, READS, None).await?;
    let (name, id) = page.after.clone().unzip();
    let rows: Vec<Stock> = sqlx::query_as(stocks!(
        "and ($2::text is null or (p.name, p.id) > ($2, $3))
         and ($4::boolean is null or $4 = coalesce(i.received - i.held - i.sold <= i.low_stock_threshold, true))
         and not p.removed
         order by p.name, p.id limit $5"
    ))
    .bind(only_of(&caller))
    .bind(name)
    .bind(id)
    .bind(filter.low)
    .bind(page.fetch())
    .fetch_all(read.pool())
    .await
    .map_err(database)?;
    let page = Page::from_surplus(rows, page.limit, |row| (row.name.clone(), row.product_id));
    Ok(reading.answer(page))
}

/// The stock of one product.
#[utoipa::path(
    get, path = "/v1/inventory/{product_id}", tag = "inventory", operation_id = "show_stock", params(("product_id" = Uuid, Path)),
    responses((status = 200, description = "The stock", body = Stock), (status = 404, description = "No such product"))
)]
async fn show(
    State(read): State<ReadSide>,
    caller: Caller,
    asked: Asked,
    Path(product_id): Path<Uuid>,
) -> Result<Answer<Stock>, Problem> {
    let reading = read.reading(asked, READS, Some(product_id)).await?;
    let row: Option<Stock> = sqlx::query_as(stocks!("and p.id = $2"))
        .bind(only_of(&caller))
        .bind(product_id)
        .fetch_optional(read.pool())
        .await
        .map_err(database)?;
    let row = row.ok_or_else(|| reading.nothing(format!("there is no product {product_id}")))?;
    let version = row.version;
    Ok(reading.answer(row).version(version))
}

/// Whose stocks are shown: everybody's to an admin, those that he looks after to a partner.
pub(super) fn only_of(caller: &Caller) -> Option<Uuid> {
    if caller.is(Role::Admin) {
        None
    } else {
        Some(caller.partner_id().unwrap_or(Uuid::nil()))
    }
}
