//! GET /v1/reports/sales: units, revenue, cost and profit by brand, category, product, day or sale, in each currency.

use std::collections::BTreeMap;

use axum::extract::State;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use service_kit::cursor::{Page, PageParams, PageRequest};
use service_kit::extract::Query;
use service_kit::{Access, ApiRouter, Caller, Problem, Role, Validation, routes};

use super::NAME;
use crate::http::money::Money;
use crate::http::{Answer, Asked, ReadSide, database};

const READS: &[&str] = &[NAME];
const ALLOWED: Access = Access::Roles(&[Role::Admin, Role::Partner]);
/// The longest time between `from` and `to`.
const YEARS_MAX: i16 = 10;
/// `2026-11-21`.
const DATE_CHARS: usize = 10;

/// What sales are added up by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    /// The product's brand when it was ordered.
    Brand,
    /// The product's category when it was ordered.
    Category,
    /// The product.
    Product,
    /// The UTC day on which the order was confirmed.
    #[default]
    Day,
    /// Each sale by itself.
    Order,
}

impl GroupBy {
    fn as_str(self) -> &'static str {
        match self {
            Self::Brand => "brand",
            Self::Category => "category",
            Self::Product => "product",
            Self::Day => "day",
            Self::Order => "order",
        }
    }
}

/// The sales of one group in one currency. Where a product's cost is in another currency than its price, units and
/// revenue are in the row of the price's currency, and the cost in a row of its own currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SalesOfGroup {
    /// The group: a brand, a category, a product's id, a day or an order's id, as asked for.
    #[schema(example = "Corner Bakery")]
    pub key: String,
    /// With `group_by=brand`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Corner Bakery")]
    pub brand: Option<String>,
    /// With `group_by=category`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// With `group_by=product`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<Uuid>,
    /// With `group_by=product`: its SKU in the last order of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    /// With `group_by=product`: its name in the last order of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// With `group_by=day`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    pub day: Option<String>,
    /// With `group_by=order`; `GET /v1/orders/{id}` tells the rest, such as who bought.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<Uuid>,
    /// ISO 4217, of this row's sums.
    #[schema(example = "EUR")]
    pub currency: String,
    /// Units sold.
    #[schema(example = 3)]
    pub units: i64,
    /// What customers paid, less what was given back.
    pub revenue: Money,
    /// What the units had cost the seller, by the costs of when they were ordered.
    pub cost: Money,
    /// Revenue less cost.
    pub profit: Money,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// What to add up by.
    #[serde(default)]
    #[param(inline, default = "day")]
    group_by: GroupBy,
    /// The first UTC day; from the beginning without it.
    #[param(format = Date, example = "2026-11-01")]
    from: Option<String>,
    /// The last UTC day; until now without it. At most ten years after `from`.
    #[param(format = Date, example = "2026-11-30")]
    to: Option<String>,
    /// Only sales of this partner. A partner sees his own in any case.
    partner_id: Option<Uuid>,
}

#[derive(sqlx::FromRow)]
struct Row {
    key: String,
    currency: String,
    units: i64,
    revenue: i64,
    cost: i64,
}

#[derive(sqlx::FromRow)]
struct Name {
    product_id: Uuid,
    sku: String,
    name: String,
}

pub(crate) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(ALLOWED, routes!(sales))
}

/// Confirmed sales, added up; by group and currency. A partner sees his own. What was given back is taken from the day
/// of the sale; orders that were called off are not in it.
#[utoipa::path(
    get, path = "/v1/reports/sales", tag = "reports", operation_id = "report_sales", params(Filter, PageParams),
    responses(
        (status = 200, description = "A page of groups", body = Page<SalesOfGroup>, example = json!({
            "data": [{
                "key": "2026-11-21", "day": "2026-11-21", "currency": "EUR", "units": 3,
                "revenue": {"amount": 5997, "currency": "EUR"}, "cost": {"amount": 1200, "currency": "EUR"},
                "profit": {"amount": 4797, "currency": "EUR"},
            }],
            "next_cursor": null, "has_more": false,
        })),
        (status = 400, description = "`cursor_invalid`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid`: `group_by`, `limit`, `partner_id`, or `from` and `to`: days of the form \
            2026-11-21, not in the wrong order, at most ten years apart", body = Problem,
            content_type = "application/problem+json"),
    )
)]
async fn sales(
    State(read): State<ReadSide>,
    caller: Caller,
    asked: Asked,
    page: PageRequest<(String, String)>,
    Query(filter): Query<Filter>,
) -> Result<Answer<Page<SalesOfGroup>>, Problem> {
    let (from, to) = days(filter.from.as_deref(), filter.to.as_deref())?;
    let reading = read.reading(asked, READS, None).await?;
    let whose = if caller.is(Role::Admin) {
        None
    } else {
        Some(caller.partner_id().unwrap_or(Uuid::nil()))
    };
    let (key, currency) = page.after.clone().unzip();
    // Sums beyond 64 bits end at the column's limit instead of failing: no shop has them, and no reader of JSON either.
    let rows: Vec<Row> = sqlx::query_as(
        "with counted as (
             select case $1 when 'brand' then l.brand when 'category' then l.category
                            when 'product' then l.product_id::text when 'order' then s.order_id::text
                            else s.day::text end as key,
                    l.quantity, l.revenue - l.refunded as revenue, l.currency, l.cost, l.cost_currency
             from read.sales s join read.sale_lines l on l.order_id = s.order_id
             where s.counts and ($2::uuid is null or s.partner_id = $2) and ($3::uuid is null or s.partner_id = $3)
               and ($4::date is null or s.day >= $4) and ($5::date is null or s.day <= $5)
         ), entries as (
             select key, currency, quantity as units, revenue,
                    case when cost_currency = currency then cost else 0 end as cost
             from counted
             union all
             select key, cost_currency, 0, 0, cost from counted where cost_currency <> currency
         ), sums as (
             select key, currency, sum(units) as units, sum(revenue) as revenue, sum(cost) as cost
             from entries group by key, currency
         )
         select key, currency, least(units, 9223372036854775807)::bigint as units,
                least(revenue, 9223372036854775807)::bigint as revenue,
                least(cost, 9223372036854775807)::bigint as cost
         from sums where $6::text is null or (key, currency) > ($6, $7)
         order by key, currency limit $8",
    )
    .bind(filter.group_by.as_str())
    .bind(whose)
    .bind(filter.partner_id)
    .bind(from.map(jiff_sqlx::Date::from))
    .bind(to.map(jiff_sqlx::Date::from))
    .bind(key)
    .bind(currency)
    .bind(page.fetch())
    .fetch_all(read.pool())
    .await
    .map_err(database)?;
    let page = Page::from_surplus(rows, page.limit, |row| {
        (row.key.clone(), row.currency.clone())
    });
    let names = match filter.group_by {
        GroupBy::Product => names(&read, &page.data).await?,
        GroupBy::Brand | GroupBy::Category | GroupBy::Day | GroupBy::Order => BTreeMap::new(),
    };
    Ok(reading.answer(page.map(|row| row.show(filter.group_by, &names))))
}

/// The limits of the question, both included.
fn days(from: Option<&str>, to: Option<&str>) -> Result<(Option<Date>, Option<Date>), Problem> {
    let mut validation = Validation::new();
    let mut day = |pointer: &str, text: Option<&str>| {
        let text = text?;
        let day = text
            .parse::<Date>()
            .ok()
            .filter(|_| text.len() == DATE_CHARS);
        if day.is_none() {
            validation.add(pointer, "invalid", "this is a day of the form 2026-11-21");
        }
        day
    };
    let (from, to) = (day("/from", from), day("/to", to));
    if let (Some(from), Some(to)) = (from, to) {
        if from > to {
            validation.add("/to", "out_of_range", "this is before `from`");
        } else if from
            .checked_add(jiff::Span::new().years(YEARS_MAX))
            .is_ok_and(|last| to > last)
        {
            let detail = format!("this is more than {YEARS_MAX} years after `from`");
            validation.add("/to", "out_of_range", detail);
        }
    }
    validation.finish()?;
    Ok((from, to))
}

/// What these products were called when they were last ordered.
async fn names(read: &ReadSide, rows: &[Row]) -> Result<BTreeMap<Uuid, Name>, Problem> {
    let products: Vec<Uuid> = rows
        .iter()
        .filter_map(|row| Uuid::parse_str(&row.key).ok())
        .collect();
    let names: Vec<Name> = sqlx::query_as(
        "select last.product_id, last.sku, last.name
         from (select distinct id from unnest($1::uuid[]) as wanted (id)) wanted
         cross join lateral (
             select product_id, sku, name from read.sale_lines
             where product_id = wanted.id order by placed_at desc, id desc limit 1
         ) last",
    )
    .bind(products)
    .fetch_all(read.pool())
    .await
    .map_err(database)?;
    Ok(names
        .into_iter()
        .map(|name| (name.product_id, name))
        .collect())
}

impl Row {
    fn show(self, group_by: GroupBy, names: &BTreeMap<Uuid, Name>) -> SalesOfGroup {
        let only = |wanted: GroupBy| (group_by == wanted).then(|| self.key.clone());
        let id_of = |wanted: GroupBy| only(wanted).and_then(|key| Uuid::parse_str(&key).ok());
        let product_id = id_of(GroupBy::Product);
        let name = product_id.and_then(|id| names.get(&id));
        let money = |amount: i64| Money::new(amount, self.currency.clone());
        SalesOfGroup {
            brand: only(GroupBy::Brand),
            category: only(GroupBy::Category),
            day: only(GroupBy::Day),
            product_id,
            order_id: id_of(GroupBy::Order),
            sku: name.map(|name| name.sku.clone()),
            name: name.map(|name| name.name.clone()),
            units: self.units,
            revenue: money(self.revenue),
            cost: money(self.cost),
            profit: money(self.revenue.saturating_sub(self.cost)),
            currency: self.currency.clone(),
            key: self.key,
        }
    }
}
