//! What messages say: compiled in, checked against [`Facts`], as text, as HTML, and short. Text and HTML of a kind tell the
//! same, word by word.

mod facts;
mod sample;
#[cfg(test)]
mod tests;
mod words;

use askama::Template;
use event_schema::notification::Kind;
use serde_json::{Value, json};

pub use self::facts::{Facts, Line, shop_name};
use self::words::{Words, words};
use crate::port::Content;

/// What every template is given.
struct Parts<'a> {
    f: &'a Facts,
    words: &'a Words,
    hello: &'a str,
}

/// Text and HTML of a kind.
macro_rules! page {
    ($parts:expr, $text:tt, $html:tt) => {{
        #[derive(Template)]
        #[template(path = $text)]
        struct Text<'a> {
            f: &'a Facts,
            words: &'a Words,
            hello: &'a str,
        }
        #[derive(Template)]
        #[template(path = $html)]
        struct Html<'a> {
            f: &'a Facts,
            words: &'a Words,
            hello: &'a str,
        }
        let Parts { f, words, hello } = $parts;
        let text = Text { f, words, hello }.render();
        let html = Html { f, words, hello }.render();
        text.and_then(|text| Ok((text, html?)))
    }};
}

/// Writes a message for every channel. What is not known, because it was erased or never said, is left out.
#[must_use]
pub fn render(kind: Kind, facts: &Facts) -> Content {
    let given = facts;
    let facts = &facts.tidied();
    let words = &words(kind, facts);
    let hello = &match &facts.recipient_name {
        Some(name) => format!("Hello {name},"),
        None => "Hello,".to_owned(),
    };
    let parts = Parts {
        f: facts,
        words,
        hello,
    };
    let (text, html) = written(kind, &parts).unwrap_or_else(|error| {
        // No template of ours does; what it is about is told nevertheless.
        tracing::error!(%error, kind = kind.as_str(), "a template failed");
        (words.lead.clone(), String::new())
    });
    Content {
        subject: words.subject.clone(),
        text: without_gaps(&text),
        html,
        short: words.short.clone(),
        data: data(kind, given, words),
    }
}

fn written(kind: Kind, parts: &Parts<'_>) -> Result<(String, String), askama::Error> {
    match kind {
        Kind::CustomerAdded => page!(parts, "customer_added.txt", "customer_added.html"),
        Kind::ResourceAdded => page!(parts, "resource_added.txt", "resource_added.html"),
        Kind::ResourceRemoved => page!(parts, "resource_removed.txt", "resource_removed.html"),
        Kind::OrderPlaced => page!(parts, "order_placed.txt", "order_placed.html"),
        Kind::OrderConfirmed => page!(parts, "order_confirmed.txt", "order_confirmed.html"),
        Kind::OrderCancelled => page!(parts, "order_cancelled.txt", "order_cancelled.html"),
        Kind::RefundPending => page!(parts, "refund_pending.txt", "refund_pending.html"),
        Kind::Refunded => page!(parts, "refunded.txt", "refunded.html"),
        Kind::OrderReady => page!(parts, "order_ready.txt", "order_ready.html"),
        Kind::OrderOnItsWay => page!(parts, "order_on_its_way.txt", "order_on_its_way.html"),
        Kind::OrderDelivered => page!(parts, "order_delivered.txt", "order_delivered.html"),
        Kind::LowStock => page!(parts, "low_stock.txt", "low_stock.html"),
        Kind::SagaNeedsOperator => {
            page!(parts, "saga_needs_operator.txt", "saga_needs_operator.html")
        }
        Kind::OrderPrepare => page!(parts, "order_prepare.txt", "order_prepare.html"),
        Kind::WebhookDisabled => page!(parts, "webhook_disabled.txt", "webhook_disabled.html"),
    }
}

/// For programs. A partner's system is told `order.prepare {order_id, lines, delivery_address, phone}`.
fn data(kind: Kind, facts: &Facts, words: &Words) -> Value {
    match kind {
        Kind::OrderPrepare => {
            let line = |line: &Line| {
                json!({
                    "product_id": line.product_id,
                    "sku": line.sku,
                    "name": line.name,
                    "quantity": line.quantity,
                })
            };
            json!({
                "order_id": facts.order_id,
                "lines": facts.lines.iter().map(line).collect::<Vec<_>>(),
                "delivery_address": facts.delivery_address,
                "phone": facts.phone,
            })
        }
        _ => json!({
            "kind": kind.as_str(),
            "title": words.title,
            "body": words.lead,
            "order_id": facts.order_id,
            "product_id": facts.product_id,
            "available": facts.available,
        }),
    }
}

/// What is left out of a template leaves no gap: never more than one empty line.
fn without_gaps(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut empty = true;
    for line in text.lines().map(str::trim_end) {
        if !(line.is_empty() && empty) {
            out.push_str(line);
            out.push('\n');
        }
        empty = line.is_empty();
    }
    let end = out.trim_end().len();
    out.truncate(end);
    out.push('\n');
    out
}
