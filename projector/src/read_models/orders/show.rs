//! Rows of orders as answers, for whom they are meant.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use event_schema::Timestamp;
use service_kit::{Caller, Role};

use super::payment::{Payment, Status};
use super::row::Row;
use super::saga::Saga;
use crate::http::money::Money;

/// Which orders a caller may see.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose {
    pub everybodys: bool,
    pub customer: Option<Uuid>,
    pub partner: Option<Uuid>,
}

impl Whose {
    pub fn of(caller: &Caller) -> Self {
        Self {
            everybodys: caller.is(Role::Admin),
            customer: caller.is(Role::Customer).then_some(caller.subject),
            partner: caller.partner_id(),
        }
    }
}

/// An order with its partner's names beside it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Found {
    #[sqlx(flatten)]
    pub row: Row,
    pub partner_title: Option<String>,
    pub partner_brand: Option<String>,
}

/// An order: everything about it in one answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Order {
    /// Its id.
    pub id: Uuid,
    /// The same id, under the name that placing answered with.
    pub order_id: Uuid,
    /// Who buys.
    pub customer_id: Uuid,
    /// Who sells.
    pub partner: OrderPartner,
    /// What; each product once.
    pub lines: Vec<OrderLine>,
    /// What all lines cost.
    pub total: Money,
    /// How the money stands.
    pub payment: OrderPayment,
    /// How it gets there.
    pub delivery: Delivery,
    /// pending_payment, payment_unknown, paid, confirmed, ready, delivering, delivered, cancelling or cancelled.
    pub status: String,
    /// Why it is called off.
    pub status_reason: Option<String>,
    /// Why, in words, such as the product that was sold out.
    pub status_detail: Option<String>,
    /// The saga that sees to it.
    pub saga: Option<SagaSummary>,
    /// When it was placed.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When something about it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// How many events the order itself has.
    pub version: i64,
}

/// The seller of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrderPartner {
    /// Its id.
    pub id: Uuid,
    /// Name of the business.
    pub title: Option<String>,
    /// The brand shown to customers.
    pub brand: Option<String>,
}

/// One product of an order, as it was when the order was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrderLine {
    /// Which product.
    pub product_id: Uuid,
    /// Its SKU.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// Price of one unit.
    pub unit_price: Money,
    /// Price of all units.
    pub total: Money,
}

/// The payment of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrderPayment {
    /// none, pending, authorised, captured, voided, refund_pending, refunded, unknown or declined.
    pub status: String,
    /// card or checkout.
    pub method: Option<String>,
    /// The sums so far.
    pub amounts: Amounts,
    /// The page on which the customer has to act.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkout_url: Option<String>,
    /// The provider's name for the payment; only shown to admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_payment_id: Option<String>,
}

/// What was set aside, taken and given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Amounts {
    /// Set aside; what was let go again is not in it.
    pub authorised: Money,
    /// Taken.
    pub captured: Money,
    /// Given back.
    pub refunded: Money,
}

/// The way of an order from the partner to the customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Delivery {
    /// Where it is picked up, once the partner has prepared it.
    pub pickup_address: Option<String>,
    /// Who brings it, once somebody took it.
    pub deliverer_id: Option<Uuid>,
    /// Where it goes; null when the personal data was erased.
    pub delivery_address: Option<String>,
    /// Whom to call; null when the personal data was erased.
    pub phone: Option<String>,
}

/// The saga in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SagaSummary {
    /// running, unwinding, needs_operator, completed, compensated or closed.
    pub status: String,
    /// The step that is under way or stuck.
    pub step: Option<String>,
    /// Why a person is needed.
    pub cause: Option<String>,
    /// Since when the status holds.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Position of its last event.
    pub position: u64,
}

impl Found {
    /// The order as this caller may see it; nothing while only other events of its group are known.
    pub fn show(self, whose: Whose) -> Option<Order> {
        let Self {
            row,
            partner_title,
            partner_brand,
        } = self;
        let currency = row.currency?;
        let lines = row.lines.0.into_iter().map(|line| OrderLine {
            product_id: line.product_id,
            sku: line.sku,
            name: line.name,
            quantity: line.quantity,
            unit_price: line.unit_price.into(),
            total: line.total.into(),
        });
        let payment = row.payment.0;
        Some(Order {
            id: row.id,
            order_id: row.id,
            customer_id: row.customer_id?,
            partner: OrderPartner {
                id: row.partner_id?,
                title: partner_title,
                brand: partner_brand,
            },
            lines: lines.collect(),
            total: Money::new(row.total?, currency.clone()),
            payment: OrderPayment {
                status: payment.status.shown().to_owned(),
                method: row.payment_method,
                amounts: payment.amounts(&currency),
                checkout_url: payment.open_checkout_url(),
                provider_payment_id: payment.provider_payment_id.filter(|_| whose.everybodys),
            },
            delivery: Delivery {
                pickup_address: row.pickup_address,
                deliverer_id: row.deliverer_id,
                delivery_address: row.delivery_address,
                phone: row.phone,
            },
            status: row.status,
            status_reason: row.status_reason,
            status_detail: row.status_detail,
            saga: row.saga.map(|saga| saga.0.summary()),
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        })
    }
}

impl Payment {
    pub fn amounts(&self, currency: &str) -> Amounts {
        Amounts {
            authorised: Money::new(self.authorised, currency),
            captured: Money::new(self.captured, currency),
            refunded: Money::new(self.refunded, currency),
        }
    }

    /// The page, while the customer can still do something there.
    pub fn open_checkout_url(&self) -> Option<String> {
        let open = matches!(self.status, Status::Pending | Status::Unknown);
        self.checkout_url.clone().filter(|_| open)
    }
}

impl Status {
    pub fn shown(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pending => "pending",
            Self::Authorised => "authorised",
            Self::Captured => "captured",
            Self::Voided => "voided",
            Self::RefundPending => "refund_pending",
            Self::Refunded => "refunded",
            Self::Unknown => "unknown",
            Self::Declined => "declined",
        }
    }
}

impl Saga {
    fn summary(self) -> SagaSummary {
        SagaSummary {
            status: self.status().to_owned(),
            step: self.step().map(|step| step.as_str().to_owned()),
            cause: self.stuck.map(|stuck| stuck.cause),
            since: self.since,
            position: self.position,
        }
    }
}
