//! The row of an order: read, folded and written as a whole.

use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use uuid::Uuid;

use event_schema::order::{self, CancelReason, Event, Placed};
use event_schema::{Money, Timestamp};

use super::payment::{self, Payment, Status};
use super::saga::Saga;
use crate::projection::{ApplyError, Batch};
use crate::read_models::{column, times};

/// Where the order itself is; its shown status also depends on the payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Unplaced,
    Placed,
    Confirmed,
    Ready,
    Delivering,
    Delivered,
    Cancelling,
    Cancelled,
}

impl Phase {
    const ALL: [Self; 8] = [
        Self::Unplaced,
        Self::Placed,
        Self::Confirmed,
        Self::Ready,
        Self::Delivering,
        Self::Delivered,
        Self::Cancelling,
        Self::Cancelled,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Unplaced => "unplaced",
            Self::Placed => "placed",
            Self::Confirmed => "confirmed",
            Self::Ready => "ready",
            Self::Delivering => "delivering",
            Self::Delivered => "delivered",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }
}

impl TryFrom<String> for Phase {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|phase| phase.as_str() == text)
            .ok_or(text)
    }
}

/// A line as the column `lines` holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    pub product_id: Uuid,
    pub sku: String,
    pub name: String,
    pub quantity: u32,
    pub unit_price: Money,
    pub total: Money,
}

impl From<order::Line> for Line {
    fn from(line: order::Line) -> Self {
        Self {
            product_id: line.product_id.uuid(),
            sku: line.sku,
            name: line.name,
            quantity: line.quantity,
            unit_price: line.unit_price,
            total: line.total,
        }
    }
}

/// A row of `read.orders`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Row {
    pub id: Uuid,
    pub customer_id: Option<Uuid>,
    pub partner_id: Option<Uuid>,
    pub lines: Json<Vec<Line>>,
    pub total: Option<i64>,
    pub currency: Option<String>,
    pub payment_method: Option<String>,
    pub delivery_address: Option<String>,
    pub phone: Option<String>,
    pub pickup_address: Option<String>,
    pub deliverer_id: Option<Uuid>,
    #[sqlx(try_from = "String")]
    pub phase: Phase,
    pub status: String,
    pub status_reason: Option<String>,
    pub status_detail: Option<String>,
    pub payment: Json<Payment>,
    pub saga: Option<Json<Saga>>,
    pub saga_status: Option<String>,
    pub saga_step: Option<String>,
    pub version: i64,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub created_at: Timestamp,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub updated_at: Timestamp,
}

/// Personal data of an order, opened.
pub(super) struct Opened {
    pub delivery_address: Option<String>,
    pub phone: Option<String>,
}

impl Row {
    /// Before anything is known of the order.
    pub fn new(id: Uuid, at: Timestamp) -> Self {
        Self {
            id,
            customer_id: None,
            partner_id: None,
            lines: Json(Vec::new()),
            total: None,
            currency: None,
            payment_method: None,
            delivery_address: None,
            phone: None,
            pickup_address: None,
            deliverer_id: None,
            phase: Phase::Unplaced,
            status: String::new(),
            status_reason: None,
            status_detail: None,
            payment: Json(Payment::default()),
            saga: None,
            saga_status: None,
            saga_step: None,
            version: 0,
            created_at: at,
            updated_at: at,
        }
    }

    pub fn fold_order(
        &mut self,
        event: Event,
        opened: Opened,
        at: Timestamp,
    ) -> Result<(), &'static str> {
        if self.phase == Phase::Unplaced && !matches!(event, Event::Placed(_)) {
            return Err("the order was never placed");
        }
        match event {
            Event::Placed(placed) => self.place(placed, opened, at),
            Event::Confirmed(_) => self.phase = Phase::Confirmed,
            Event::Ready(e) => {
                self.phase = Phase::Ready;
                self.pickup_address = Some(e.pickup_address);
            }
            Event::Assigned(e) => {
                self.phase = Phase::Delivering;
                self.deliverer_id = Some(e.deliverer_id.uuid());
            }
            Event::Delivered(_) => self.phase = Phase::Delivered,
            Event::Cancelling(e) => self.call_off(Phase::Cancelling, e.reason, e.detail),
            Event::Cancelled(e) => self.call_off(Phase::Cancelled, e.reason, e.detail),
        }
        Ok(())
    }

    fn place(&mut self, placed: Placed, opened: Opened, at: Timestamp) {
        self.customer_id = Some(placed.customer_id.uuid());
        self.partner_id = Some(placed.partner_id.uuid());
        self.payment_method = Some(payment::method(&placed.payment_method).to_owned());
        self.lines = Json(placed.lines.into_iter().map(Line::from).collect());
        self.total = Some(placed.total.amount);
        self.currency = Some(placed.total.currency.code().to_owned());
        self.delivery_address = opened.delivery_address;
        self.phone = opened.phone;
        self.phase = Phase::Placed;
        self.created_at = at;
    }

    fn call_off(&mut self, phase: Phase, reason: CancelReason, detail: Option<String>) {
        self.phase = phase;
        // The first reason stays; the end of the way back repeats it.
        self.status_reason
            .get_or_insert_with(|| reason.as_str().to_owned());
        if self.status_detail.is_none() {
            self.status_detail = detail;
        }
    }

    /// Brings the columns that follow from others up to date.
    pub fn settle(&mut self) {
        self.status = match (self.phase, self.payment.status) {
            (Phase::Cancelled, _) => "cancelled",
            (Phase::Cancelling, _) => "cancelling",
            (Phase::Confirmed | Phase::Ready | Phase::Delivering | Phase::Delivered, _) => {
                self.phase.as_str()
            }
            (Phase::Placed | Phase::Unplaced, Status::Unknown) => "payment_unknown",
            (Phase::Placed | Phase::Unplaced, Status::Captured) => "paid",
            (Phase::Placed | Phase::Unplaced, _) => "pending_payment",
        }
        .to_owned();
        self.saga_status = self.saga.as_ref().map(|saga| saga.status().to_owned());
        self.saga_step = self
            .saga
            .as_ref()
            .and_then(|saga| saga.step())
            .map(|step| step.as_str().to_owned());
    }
}

pub(super) async fn load(batch: &mut Batch<'_>, ids: &[Uuid]) -> Result<Vec<Row>, ApplyError> {
    Ok(
        sqlx::query_as(batch.sql("select * from read.orders where id = any($1)"))
            .bind(ids)
            .fetch_all(batch.connection())
            .await?,
    )
}

pub(super) async fn write(batch: &mut Batch<'_>, rows: &[Row]) -> Result<(), ApplyError> {
    let phases: Vec<&str> = rows.iter().map(|row| row.phase.as_str()).collect();
    sqlx::query(batch.sql(
        "insert into read.orders
             (id, customer_id, partner_id, lines, total, currency, payment_method, delivery_address, phone, phase,
              status, status_reason, status_detail, payment, saga, saga_status, saga_step, version, created_at,
              updated_at, pickup_address, deliverer_id)
         select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::jsonb[], $5::bigint[], $6::text[], $7::text[],
                              $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[],
                              $14::jsonb[], $15::jsonb[], $16::text[], $17::text[], $18::bigint[],
                              $19::timestamptz[], $20::timestamptz[], $21::text[], $22::uuid[])
         on conflict (id) do update
         set customer_id = excluded.customer_id, partner_id = excluded.partner_id, lines = excluded.lines,
             total = excluded.total, currency = excluded.currency, payment_method = excluded.payment_method,
             delivery_address = excluded.delivery_address, phone = excluded.phone, phase = excluded.phase,
             status = excluded.status, status_reason = excluded.status_reason,
             status_detail = excluded.status_detail, payment = excluded.payment, saga = excluded.saga,
             saga_status = excluded.saga_status, saga_step = excluded.saga_step, version = excluded.version,
             created_at = excluded.created_at, updated_at = excluded.updated_at,
             pickup_address = excluded.pickup_address, deliverer_id = excluded.deliverer_id",
    ))
    .bind(column!(rows, id))
    .bind(column!(rows, customer_id))
    .bind(column!(rows, partner_id))
    .bind(column!(rows, lines))
    .bind(column!(rows, total))
    .bind(column!(rows, currency))
    .bind(column!(rows, payment_method))
    .bind(column!(rows, delivery_address))
    .bind(column!(rows, phone))
    .bind(phases)
    .bind(column!(rows, status))
    .bind(column!(rows, status_reason))
    .bind(column!(rows, status_detail))
    .bind(column!(rows, payment))
    .bind(column!(rows, saga))
    .bind(column!(rows, saga_status))
    .bind(column!(rows, saga_step))
    .bind(column!(rows, version))
    .bind(times!(rows, created_at))
    .bind(times!(rows, updated_at))
    .bind(column!(rows, pickup_address))
    .bind(column!(rows, deliverer_id))
    .execute(batch.connection())
    .await?;
    Ok(())
}
