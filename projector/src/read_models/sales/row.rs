//! The rows of a sale, read and written a batch at a time.

use jiff::civil::Date;
use uuid::Uuid;

use event_schema::Timestamp;
use event_schema::ids::derived;
use event_schema::order::Line;

use crate::projection::{ApplyError, Batch};
use crate::read_models::{column, times};

/// How far the order has come, as far as a sale is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Placed,
    Confirmed,
    Cancelled,
}

impl Stage {
    const ALL: [Self; 3] = [Self::Placed, Self::Confirmed, Self::Cancelled];

    fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl TryFrom<String> for Stage {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|stage| stage.as_str() == text)
            .ok_or(text)
    }
}

/// A row of `read.sales`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Sale {
    pub order_id: Uuid,
    pub partner_id: Uuid,
    pub total: i64,
    pub refunded: i64,
    #[sqlx(try_from = "String")]
    pub stage: Stage,
    #[sqlx(rename = "day")]
    stored_day: Option<jiff_sqlx::Date>,
    pub version: i64,
}

impl Sale {
    pub fn placed(order_id: Uuid, partner_id: Uuid, total: i64) -> Self {
        Self {
            order_id,
            partner_id,
            total,
            refunded: 0,
            stage: Stage::Placed,
            stored_day: None,
            version: 0,
        }
    }

    pub fn confirm(&mut self, day: Date) {
        self.stage = Stage::Confirmed;
        self.stored_day = Some(day.into());
    }

    /// Whether it is in the reports.
    fn counts(&self) -> bool {
        self.stage == Stage::Confirmed && self.refunded < self.total
    }
}

/// A row of `read.sale_lines`.
#[derive(Debug, Clone)]
pub(super) struct SaleLine {
    id: Uuid,
    order_id: Uuid,
    place: i32,
    product_id: Uuid,
    sku: String,
    name: String,
    brand: String,
    category: String,
    quantity: i64,
    revenue: i64,
    currency: String,
    cost: i64,
    cost_currency: String,
    placed_at: Timestamp,
}

impl SaleLine {
    /// The error says what is wrong with the line.
    pub fn new(
        order_id: Uuid,
        place: usize,
        line: Line,
        placed_at: Timestamp,
    ) -> Result<Self, String> {
        let cost = line
            .unit_cost
            .times(line.quantity)
            .map_err(|error| error.to_string())?;
        let product_id = line.product_id.uuid();
        Ok(Self {
            id: derived(&["sale_line", &order_id.to_string(), &product_id.to_string()]),
            order_id,
            place: i32::try_from(place).map_err(|error| error.to_string())?,
            product_id,
            sku: line.sku,
            name: line.name,
            brand: line.brand,
            category: line.category,
            quantity: i64::from(line.quantity),
            revenue: line.total.amount,
            currency: line.total.currency.code().to_owned(),
            cost: cost.amount,
            cost_currency: cost.currency.code().to_owned(),
            placed_at,
        })
    }
}

pub(super) async fn load(batch: &mut Batch<'_>, orders: &[Uuid]) -> Result<Vec<Sale>, ApplyError> {
    let text = "select order_id, partner_id, total, refunded, stage, day, version
                from read.sales where order_id = any($1)";
    Ok(sqlx::query_as(batch.sql(text))
        .bind(orders)
        .fetch_all(batch.connection())
        .await?)
}

pub(super) async fn write(batch: &mut Batch<'_>, sales: &[Sale]) -> Result<(), ApplyError> {
    if sales.is_empty() {
        return Ok(());
    }
    let stages: Vec<&str> = sales.iter().map(|sale| sale.stage.as_str()).collect();
    let counting: Vec<bool> = sales.iter().map(Sale::counts).collect();
    sqlx::query(batch.sql(
        "insert into read.sales (order_id, partner_id, total, refunded, stage, counts, day, version)
         select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::boolean[], $7::date[],
                              $8::bigint[])
         on conflict (order_id) do update
         set refunded = excluded.refunded, stage = excluded.stage, counts = excluded.counts, day = excluded.day,
             version = excluded.version",
    ))
    .bind(column!(sales, order_id))
    .bind(column!(sales, partner_id))
    .bind(column!(sales, total))
    .bind(column!(sales, refunded))
    .bind(stages)
    .bind(counting)
    .bind(column!(sales, stored_day))
    .bind(column!(sales, version))
    .execute(batch.connection())
    .await?;
    Ok(())
}

pub(super) async fn add_lines(batch: &mut Batch<'_>, lines: &[SaleLine]) -> Result<(), ApplyError> {
    if lines.is_empty() {
        return Ok(());
    }
    sqlx::query(batch.sql(
        "insert into read.sale_lines
             (id, order_id, place, product_id, sku, name, brand, category, quantity, revenue, currency, cost,
              cost_currency, placed_at, refunded)
         select l.*, 0
         from unnest($1::uuid[], $2::uuid[], $3::integer[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::bigint[], $10::bigint[], $11::text[], $12::bigint[], $13::text[], $14::timestamptz[]) as l",
    ))
    .bind(column!(lines, id))
    .bind(column!(lines, order_id))
    .bind(column!(lines, place))
    .bind(column!(lines, product_id))
    .bind(column!(lines, sku))
    .bind(column!(lines, name))
    .bind(column!(lines, brand))
    .bind(column!(lines, category))
    .bind(column!(lines, quantity))
    .bind(column!(lines, revenue))
    .bind(column!(lines, currency))
    .bind(column!(lines, cost))
    .bind(column!(lines, cost_currency))
    .bind(times!(lines, placed_at))
    .execute(batch.connection())
    .await?;
    Ok(())
}

/// Divides what was given back of these orders among their lines in proportion to what they cost the customer. Each
/// line gets the difference of two rounded sums, so that the parts add up to the whole to the last cent.
pub(super) async fn share_refunds(
    batch: &mut Batch<'_>,
    orders: &[Uuid],
) -> Result<(), ApplyError> {
    if orders.is_empty() {
        return Ok(());
    }
    sqlx::query(batch.sql(
        "update read.sale_lines l
         set refunded = div(part.upto * part.given, part.total) - div((part.upto - part.revenue) * part.given, part.total)
         from (
             select li.id, li.revenue, least(s.refunded, s.total) as given, greatest(s.total, 1) as total,
                    sum(li.revenue) over (partition by li.order_id order by li.place) as upto
             from read.sale_lines li join read.sales s on s.order_id = li.order_id
             where s.order_id = any($1)
         ) part
         where l.id = part.id",
    ))
    .bind(orders)
    .execute(batch.connection())
    .await?;
    Ok(())
}
