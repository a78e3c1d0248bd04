//! What messages say: compiled in, checked against [`Facts`], as text, as HTML, and short. Text and HTML of a kind tell the
//! same, word by word.

mod facts;
mod sample;
#[cfg(test)]
mod tests;
mod words;

use askama::Template;
use event_schema::notification::Kind;
use serde_json::json;

pub use self::facts::{
    Facts, LineFacts, OrderFacts, ProductFacts, ResourceFacts, Shop, StuckFacts,
};
use self::words::{Words, need, words};
use crate::port::Content;

/// Why a message cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A fact that this kind cannot do without is not known.
    #[error("the message cannot be written without its {0}")]
    Missing(&'static str),
    /// It is told to a partner's system and not to people.
    #[error("this is told to systems, not to people")]
    NotForPeople,
    /// The template failed, which takes a writer that fails.
    #[error("the template failed")]
    Template(#[from] askama::Error),
}

/// Text and HTML of a kind, which have the same fields.
macro_rules! page {
    ($words:expr, $facts:expr, $text:tt, $html:tt, { $($field:ident : $type:ty = $value:expr),* $(,)? }) => {{
        #[derive(Template)]
        #[template(path = $text)]
        struct Text<'a> {
            shop: &'a Shop,
            title: &'a str,
            hello: &'a str,
            lead: &'a str,
            $($field: $type,)*
        }
        #[derive(Template)]
        #[template(path = $html)]
        struct Html<'a> {
            shop: &'a Shop,
            title: &'a str,
            hello: &'a str,
            lead: &'a str,
            $($field: $type,)*
        }
        let words: &Words = $words;
        let facts: &Facts = $facts;
        let hello = hello(facts);
        $(let $field = $value;)*
        let text = Text {
            shop: &facts.shop,
            title: words.title,
            hello: &hello,
            lead: &words.lead,
            $($field,)*
        };
        let html = Html {
            shop: &facts.shop,
            title: words.title,
            hello: &hello,
            lead: &words.lead,
            $($field,)*
        };
        (text.render()?, html.render()?)
    }};
}

/// Writes a message for every channel.
///
/// # Errors
/// When a fact is missing that the kind is about, or the kind is not for people.
pub fn render(kind: Kind, facts: &Facts) -> Result<Content, RenderError> {
    let facts = &facts.tidied();
    let words = &words(kind, facts)?;
    let order = || need(&facts.order, "order");
    let (text, html) = match kind {
        Kind::CustomerAdded => page!(words, facts, "customer_added.txt", "customer_added.html", {
        }),
        Kind::ResourceAdded => page!(words, facts, "resource_added.txt", "resource_added.html", {
            resource: &'a ResourceFacts = need(&facts.resource, "resource")?,
        }),
        Kind::ResourceRemoved => {
            page!(
                words,
                facts,
                "resource_removed.txt",
                "resource_removed.html",
                {}
            )
        }
        Kind::OrderPlaced => page!(words, facts, "order_placed.txt", "order_placed.html", {
            order: &'a OrderFacts = order()?,
        }),
        Kind::OrderConfirmed => {
            page!(words, facts, "order_confirmed.txt", "order_confirmed.html", {
                order: &'a OrderFacts = order()?,
                partner: Option<&'a str> = facts.partner.as_deref(),
            })
        }
        Kind::OrderCancelled => {
            page!(words, facts, "order_cancelled.txt", "order_cancelled.html", {
                order: &'a OrderFacts = order()?,
                detail: Option<&'a str> = facts.detail.as_deref(),
            })
        }
        Kind::RefundPending => page!(words, facts, "refund_pending.txt", "refund_pending.html", {
        }),
        Kind::Refunded => page!(words, facts, "refunded.txt", "refunded.html", {}),
        Kind::OrderReady => page!(words, facts, "order_ready.txt", "order_ready.html", {
            order: &'a OrderFacts = order()?,
        }),
        Kind::OrderOnItsWay => {
            page!(words, facts, "order_on_its_way.txt", "order_on_its_way.html", {
                order: &'a OrderFacts = order()?,
            })
        }
        Kind::OrderDelivered => {
            page!(words, facts, "order_delivered.txt", "order_delivered.html", {
                order: &'a OrderFacts = order()?,
            })
        }
        Kind::LowStock => page!(words, facts, "low_stock.txt", "low_stock.html", {
            product: &'a ProductFacts = need(&facts.product, "product")?,
        }),
        Kind::SagaNeedsOperator => {
            page!(words, facts, "saga_needs_operator.txt", "saga_needs_operator.html", {
                order: &'a OrderFacts = order()?,
                stuck: &'a StuckFacts = need(&facts.stuck, "stuck")?,
            })
        }
        Kind::WebhookDisabled => page!(
            words,
            facts,
            "webhook_disabled.txt",
            "webhook_disabled.html",
            {}
        ),
        Kind::OrderPrepare => return Err(RenderError::NotForPeople),
    };
    Ok(Content {
        subject: words.subject.clone(),
        text: without_gaps(&text),
        html,
        short: words.short.clone(),
        data: json!({
            "kind": kind.as_str(),
            "title": words.title,
            "body": words.lead,
            "order_id": facts.order.as_ref().map(|order| order.id),
        }),
    })
}

fn hello(facts: &Facts) -> String {
    match &facts.name {
        Some(name) => format!("Hello {name},"),
        None => "Hello,".to_owned(),
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
