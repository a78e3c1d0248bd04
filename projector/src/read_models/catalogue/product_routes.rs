//! GET /v1/products and /v1/products/{id}: for admins, and for partners about their own products.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use event_schema::Timestamp;
use service_kit::cursor::{Page, PageParams, PageRequest};
use service_kit::extract::{Path, Query};
use service_kit::{Access, ApiRouter, Caller, Problem, Role, routes};

use super::NAME;
use crate::http::money::Money;
use crate::http::{Answer, Asked, ReadSide, database};
use crate::read_models::anywhere;

const READS: &[&str] = &[NAME];
const ALLOWED: Access = Access::Roles(&[Role::Admin, Role::Partner]);

/// A product, as those who sell it see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Product {
    /// Its id.
    pub id: Uuid,
    /// The seller's own name for it.
    pub sku: String,
    /// The partner who added it; null when an admin did.
    pub partner_id: Option<Uuid>,
    /// Name.
    pub name: String,
    /// Brand.
    pub brand: String,
    /// Category.
    pub category: String,
    /// Size, where there is one.
    pub size: Option<String>,
    /// Colour, where there is one.
    pub color: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Where its picture is.
    pub picture_url: Option<String>,
    /// What one unit costs the seller.
    pub unit_cost: Money,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

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
    version: i64,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    created_at: Timestamp,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    updated_at: Timestamp,
}

impl From<Row> for Product {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            sku: row.sku,
            partner_id: row.partner_id,
            name: row.name,
            brand: row.brand,
            category: row.category,
            size: row.size,
            color: row.color,
            description: row.description,
            picture_url: row.picture_url,
            unit_cost: Money::new(row.unit_cost, row.unit_cost_currency),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only this brand.
    brand: Option<String>,
    /// Only this category.
    category: Option<String>,
    /// Only products with this text in name, SKU, brand or description; capitals do not matter.
    q: Option<String>,
}

pub(super) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(ALLOWED, routes!(list))
        .routes(ALLOWED, routes!(show))
}

/// Products that are sold (a partner: his own), by name.
#[utoipa::path(
    get, path = "/v1/products", tag = "products", operation_id = "list_products", params(Filter, PageParams),
    responses((status = 200, description = "A page of products", body = Page<Product>))
)]
async fn list(
    State(read): State<ReadSide>,
    caller: Caller,
    asked: Asked,
    page: PageRequest<(String, Uuid)>,
    Query(filter): Query<Filter>,
) -> Result<Answer<Page<Product>>, Problem> {
    let reading = read.reading(asked, READS, None).await?;
    let (name, id) = page.after.clone().unzip();
    let rows: Vec<Row> = sqlx::query_as(
        "select * from read.products
         where not removed
           and ($1::uuid is null or partner_id = $1)
           and ($2::text is null or brand = $2)
           and ($3::text is null or category = $3)
           and ($4::text is null or name ilike $4 or sku ilike $4 or brand ilike $4 or description ilike $4)
           and ($5::text is null or (name, id) > ($5, $6))
         order by name, id limit $7",
    )
    .bind(only_of(&caller))
    .bind(filter.brand)
    .bind(filter.category)
    .bind(filter.q.as_deref().map(anywhere))
    .bind(name)
    .bind(id)
    .bind(page.fetch())
    .fetch_all(read.pool())
    .await
    .map_err(database)?;
    let page = Page::from_surplus(rows, page.limit, |row| (row.name.clone(), row.id));
    Ok(reading.answer(page.map(Product::from)))
}

/// One product that is sold.
#[utoipa::path(
    get, path = "/v1/products/{id}", tag = "products", operation_id = "show_product", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The product", body = Product), (status = 404, description = "No such product"))
)]
async fn show(
    State(read): State<ReadSide>,
    caller: Caller,
    asked: Asked,
    Path(id): Path<Uuid>,
) -> Result<Answer<Product>, Problem> {
    let reading = read.reading(asked, READS, Some(id)).await?;
    let row: Option<Row> = sqlx::query_as(
        "select * from read.products where id = $1 and not removed and ($2::uuid is null or partner_id = $2)",
    )
    .bind(id)
    .bind(only_of(&caller))
    .fetch_optional(read.pool())
    .await
    .map_err(database)?;
    let row = row.ok_or_else(|| reading.nothing(format!("there is no product {id}")))?;
    let version = row.version;
    Ok(reading.answer(row.into()).version(version))
}

/// Whose products are shown: everybody's to an admin, his own to a partner.
fn only_of(caller: &Caller) -> Option<Uuid> {
    if caller.is(Role::Admin) {
        None
    } else {
        Some(caller.partner_id().unwrap_or(caller.subject))
    }
}
