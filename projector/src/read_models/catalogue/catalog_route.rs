//! GET /v1/catalog: what can be bought now, for everybody.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use service_kit::cursor::{Page, PageParams, PageRequest};
use service_kit::extract::Query;
use service_kit::{Access, ApiRouter, Problem, routes};

use super::NAME;
use crate::http::money::Money;
use crate::http::{Answer, Asked, ReadSide, database};
use crate::read_models::{anywhere, inventory};

/// Offers, products and partners; and the stock, for the availability.
const READS: &[&str] = &[NAME, inventory::NAME];

/// One partner's offer of one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CatalogItem {
    /// What.
    pub product_id: Uuid,
    /// Who sells it.
    pub partner_id: Uuid,
    /// The partner as customers see him.
    pub partner: Seller,
    /// The product's SKU.
    pub sku: String,
    /// The product's name.
    pub name: String,
    /// The product's brand.
    pub brand: String,
    /// The product's category.
    pub category: String,
    /// Size, where there is one.
    pub size: Option<String>,
    /// Colour, where there is one.
    pub color: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Where its picture is.
    pub picture_url: Option<String>,
    /// Price of one unit.
    pub price: Money,
    /// Units that can be bought at this moment.
    pub available: i64,
}

/// A partner as customers see him.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Seller {
    /// Its id.
    pub id: Uuid,
    /// Name of the business.
    pub title: String,
    /// The brand shown to customers.
    pub brand: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    offer_id: Uuid,
    product_id: Uuid,
    partner_id: Uuid,
    title: String,
    partner_brand: String,
    sku: String,
    name: String,
    brand: String,
    category: String,
    size: Option<String>,
    color: Option<String>,
    description: Option<String>,
    picture_url: Option<String>,
    price: i64,
    currency: String,
    available: i64,
}

impl From<Row> for CatalogItem {
    fn from(row: Row) -> Self {
        Self {
            product_id: row.product_id,
            partner_id: row.partner_id,
            partner: Seller {
                id: row.partner_id,
                title: row.title,
                brand: row.partner_brand,
            },
            sku: row.sku,
            name: row.name,
            brand: row.brand,
            category: row.category,
            size: row.size,
            color: row.color,
            description: row.description,
            picture_url: row.picture_url,
            price: Money::new(row.price, row.currency),
            available: row.available,
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
    /// Only products with this text in name, brand or description; capitals do not matter.
    q: Option<String>,
    /// Only offers of this partner.
    partner_id: Option<Uuid>,
    /// Only what is in stock at this moment, or only what is sold out.
    in_stock: Option<bool>,
}

pub(super) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(Access::Public, routes!(list))
}

/// Active offers of products that are sold, by partners who are verified and enabled; by name.
#[utoipa::path(
    get, path = "/v1/catalog", tag = "catalogue", operation_id = "list_catalog", params(Filter, PageParams),
    responses((status = 200, description = "A page of the catalogue", body = Page<CatalogItem>))
)]
async fn list(
    State(read): State<ReadSide>,
    asked: Asked,
    page: PageRequest<(String, Uuid)>,
    Query(filter): Query<Filter>,
) -> Result<Answer<Page<CatalogItem>>, Problem> {
    let reading = read.reading(asked, READS, None).await?;
    let (name, id) = page.after.clone().unzip();
    let rows: Vec<Row> = sqlx::query_as(
        "select o.id as offer_id, o.product_id, o.partner_id, s.title, s.brand as partner_brand,
                p.sku, p.name, p.brand, p.category, p.size, p.color, p.description, p.picture_url,
                o.price, o.currency, coalesce(i.received - i.held - i.sold, 0) as available
         from read.offers o
         join read.products p on p.id = o.product_id and not p.removed
         join read.partners s on s.id = o.partner_id and s.verified and s.enabled
         left join read.inventory i on i.product_id = o.product_id
         where o.active and not o.removed
           and ($1::text is null or p.brand = $1)
           and ($2::text is null or p.category = $2)
           and ($3::text is null or p.name ilike $3 or p.brand ilike $3 or p.description ilike $3)
           and ($4::uuid is null or o.partner_id = $4)
           and ($5::text is null or (p.name, o.id) > ($5, $6))
           and ($8::boolean is null or $8 = (coalesce(i.received - i.held - i.sold, 0) > 0))
         order by p.name, o.id limit $7",
    )
    .bind(filter.brand)
    .bind(filter.category)
    .bind(filter.q.as_deref().map(anywhere))
    .bind(filter.partner_id)
    .bind(name)
    .bind(id)
    .bind(page.fetch())
    .bind(filter.in_stock)
    .fetch_all(read.pool())
    .await
    .map_err(database)?;
    let page = Page::from_surplus(rows, page.limit, |row| (row.name.clone(), row.offer_id));
    Ok(reading.answer(page.map(CatalogItem::from)))
}
