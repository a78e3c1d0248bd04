//! What messages say.

mod facts;

pub use facts::{Facts, Line};

use event_schema::notification::Kind;
use event_schema::order::CancelReason;
use serde_json::{Value, json};

use crate::port::Content;

/// How long the short form may be, in characters.
const SHORT_MAX: usize = 160;

/// Writes the message.
pub fn render(kind: Kind, facts: &Facts) -> Content {
    let (subject, body) = words(kind, facts);
    let greeting = match &facts.recipient_name {
        Some(name) => format!("Hello {name},\n\n"),
        None => String::new(),
    };
    let order = match facts.order_id {
        Some(order) => format!("\n\nOrder {order}"),
        None => String::new(),
    };
    let text = format!("{greeting}{body}{order}\n");
    let paragraphs = text.trim().split("\n\n").map(|paragraph| {
        let escaped = escape(paragraph);
        format!("<p>{escaped}</p>")
    });
    Content {
        html: paragraphs.collect::<Vec<_>>().join("\n"),
        short: format!("{subject}: {body}")
            .chars()
            .take(SHORT_MAX)
            .collect(),
        data: data(kind, facts),
        subject,
        text,
    }
}

fn words(kind: Kind, facts: &Facts) -> (String, String) {
    let shown = |text: &Option<String>, otherwise: &str| {
        text.clone().unwrap_or_else(|| otherwise.to_owned())
    };
    let money = |money: &Option<event_schema::Money>| {
        money.map_or_else(|| "your money".to_owned(), |money| money.to_string())
    };
    let (subject, body) = match kind {
        Kind::CustomerAdded => ("Welcome", "Your account is ready.".to_owned()),
        Kind::ResourceAdded => (
            "A resource is yours",
            format!(
                "You have been given {}.",
                shown(&facts.resource_name, "a resource")
            ),
        ),
        Kind::ResourceRemoved => (
            "A resource was taken back",
            format!(
                "You do not have {} any more.",
                shown(&facts.resource_name, "a resource")
            ),
        ),
        Kind::OrderPlaced => (
            "Order placed",
            match facts.total {
                Some(total) => format!("We have your order over {total}."),
                None => "We have your order.".to_owned(),
            },
        ),
        Kind::OrderConfirmed => (
            "Order confirmed",
            "Your order is paid and will be prepared now.".to_owned(),
        ),
        Kind::OrderCancelled => (
            "Order cancelled",
            format!("Your order is cancelled: {}.", why(facts)),
        ),
        Kind::RefundPending => (
            "Refund on its way",
            format!("We are giving you back {}.", money(&facts.refund)),
        ),
        Kind::Refunded => (
            "Refunded",
            format!("We have given you back {}.", money(&facts.refund)),
        ),
        Kind::OrderReady => (
            "Order ready",
            "Your order is prepared and waits for its deliverer.".to_owned(),
        ),
        Kind::OrderOnItsWay => (
            "Order on its way",
            "Your order is on its way to you.".to_owned(),
        ),
        Kind::OrderDelivered => (
            "Order delivered",
            "Your order has been handed over.".to_owned(),
        ),
        Kind::LowStock => (
            "Low stock",
            format!(
                "{} units of {} are left.",
                facts.available.unwrap_or_default(),
                shown(&facts.product_name, "a product")
            ),
        ),
        Kind::SagaNeedsOperator => (
            "An order needs you",
            format!(
                "The order cannot go on by itself: {} ({}).",
                shown(&facts.cause, "unknown"),
                shown(&facts.detail, "no detail")
            ),
        ),
        Kind::OrderPrepare => (
            "An order to prepare",
            "There is an order for you to prepare.".to_owned(),
        ),
        Kind::WebhookDisabled => (
            "A partner's webhook is switched off",
            format!(
                "The system of {} says that its address is gone; nothing is sent there until the address is set again.",
                shown(&facts.partner_title, "a partner")
            ),
        ),
    };
    (subject.to_owned(), body)
}

fn why(facts: &Facts) -> String {
    let why = match facts.reason {
        Some(CancelReason::PaymentDeclined) => "the payment was declined",
        Some(CancelReason::PaymentExpired) => "it was not paid in time",
        Some(CancelReason::OutOfStock) => "something in it is sold out",
        Some(CancelReason::CustomerCancelled) => "you cancelled it",
        Some(CancelReason::OperatorAborted) | None => "the shop had to call it off",
    };
    match &facts.detail {
        Some(detail) => format!("{why} ({detail})"),
        None => why.to_owned(),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A partner's system is told `order.prepare {order_id, lines, delivery_address, phone}`.
fn data(kind: Kind, facts: &Facts) -> Value {
    let lines: Vec<Value> = facts
        .lines
        .iter()
        .map(|line| {
            json!({
                "product_id": line.product_id, "sku": line.sku, "name": line.name, "quantity": line.quantity,
            })
        })
        .collect();
    match kind {
        Kind::OrderPrepare => json!({
            "order_id": facts.order_id,
            "lines": lines,
            "delivery_address": facts.delivery_address,
            "phone": facts.phone,
        }),
        _ => json!({
            "order_id": facts.order_id,
            "product_id": facts.product_id,
            "available": facts.available,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_become_a_part_of_the_page() {
        let facts = Facts {
            recipient_name: Some("<script>".into()),
            ..Facts::default()
        };
        let content = render(Kind::OrderPlaced, &facts);
        assert!(content.html.contains("&lt;script&gt;") && content.text.contains("<script>"));
        assert!(content.short.chars().count() <= SHORT_MAX);
    }
}
