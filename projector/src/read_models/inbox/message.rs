//! The words of each notification.

use event_schema::fulfilment::NeedsOperator;
use event_schema::inventory::RanLow;
use event_schema::order::CancelReason;
use event_schema::{Currency, Money};

use super::facts::{OrderFacts, ProductFacts};

/// Kind, title and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub kind: &'static str,
    pub title: String,
    pub body: String,
}

fn message(kind: &'static str, title: &str, body: String) -> Message {
    Message {
        kind,
        title: title.to_owned(),
        body,
    }
}

/// An amount as people write it.
fn amount(minor: i64, currency: &str) -> String {
    match currency.parse::<Currency>() {
        Ok(currency) => Money::new(minor, currency).to_string(),
        // A code that was in use when the event was written.
        Err(_) => format!("{minor} {currency}"),
    }
}

pub(super) fn customer_added() -> Message {
    message("customer_added", "Welcome", "Your account is ready.".into())
}

pub(super) fn resource_added(name: &str) -> Message {
    message(
        "resource_added",
        "A resource is yours",
        format!("You have been given {name}."),
    )
}

pub(super) fn resource_removed(name: &str) -> Message {
    message(
        "resource_removed",
        "A resource was taken back",
        format!("You do not have {name} any more."),
    )
}

pub(super) fn order_placed(order: &OrderFacts) -> Message {
    let total = amount(order.total, &order.currency);
    message(
        "order_placed",
        "Order placed",
        format!("We have your order {} over {total}.", order.order_id),
    )
}

pub(super) fn order_confirmed(order: &OrderFacts) -> Message {
    let total = amount(order.total, &order.currency);
    message(
        "order_confirmed",
        "Order confirmed",
        format!(
            "Your order {} is paid ({total}) and will be prepared now.",
            order.order_id
        ),
    )
}

pub(super) fn order_cancelled(
    order: &OrderFacts,
    reason: CancelReason,
    detail: Option<&str>,
) -> Message {
    let why = match reason {
        CancelReason::PaymentDeclined => "the payment was declined",
        CancelReason::PaymentExpired => "it was not paid in time",
        CancelReason::OutOfStock => "something in it is sold out",
        CancelReason::CustomerCancelled => "you cancelled it",
        CancelReason::OperatorAborted => "the shop had to call it off",
    };
    let detail = detail.map_or_else(String::new, |detail| format!(" ({detail})"));
    message(
        "order_cancelled",
        "Order cancelled",
        format!("Your order {} is cancelled: {why}{detail}.", order.order_id),
    )
}

pub(super) fn order_ready(order: &OrderFacts) -> Message {
    message(
        "order_ready",
        "Order ready",
        format!(
            "Your order {} is prepared and waits for its deliverer.",
            order.order_id
        ),
    )
}

pub(super) fn order_on_its_way(order: &OrderFacts) -> Message {
    message(
        "order_on_its_way",
        "Order on its way",
        format!("Your order {} is on its way to you.", order.order_id),
    )
}

pub(super) fn order_delivered(order: &OrderFacts) -> Message {
    message(
        "order_delivered",
        "Order delivered",
        format!("Your order {} has been handed over.", order.order_id),
    )
}

pub(super) fn refund_pending(order: &OrderFacts, money: Money) -> Message {
    message(
        "refund_pending",
        "Refund on its way",
        format!(
            "We are giving you back {money} for your order {}.",
            order.order_id
        ),
    )
}

pub(super) fn refunded(order: &OrderFacts, money: Money) -> Message {
    message(
        "refunded",
        "Refunded",
        format!(
            "We have given you back {money} for your order {}.",
            order.order_id
        ),
    )
}

pub(super) fn low_stock(product: &ProductFacts, low: &RanLow) -> Message {
    message(
        "low_stock",
        "Low stock",
        format!(
            "{} units of {} are left; the threshold is {}.",
            low.available, product.name, low.low_stock_threshold
        ),
    )
}

pub(super) fn saga_needs_operator(order_id: uuid::Uuid, needs: &NeedsOperator) -> Message {
    message(
        "saga_needs_operator",
        "An order needs a person",
        format!(
            "Order {order_id} is stuck at {}: {} ({}).",
            needs.step,
            needs.cause.as_str(),
            needs.detail
        ),
    )
}
