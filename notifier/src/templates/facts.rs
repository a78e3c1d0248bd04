//! What a message tells of, opened and gathered by whoever sends it.

use event_schema::Money;
use event_schema::order::CancelReason;
use service_kit::Settings;
use uuid::Uuid;

/// Longer texts of other people's are cut.
const TEXT_CHARS_MAX: usize = 200;
/// Lines of an order that are listed.
pub(super) const LINES_MAX: usize = 50;

/// Everything that a message may tell. Each kind needs some of it: what is missing is named by
/// [`super::RenderError::Missing`].
#[derive(Clone, Default)]
pub struct Facts {
    /// Who sends it.
    pub shop: Shop,
    /// The reader's name; none when it is erased or was never known.
    pub name: Option<String>,
    /// The order that it is about.
    pub order: Option<OrderFacts>,
    /// Why the order was cancelled.
    pub reason: Option<CancelReason>,
    /// More about the reason, such as the product that is sold out.
    pub detail: Option<String>,
    /// What is given back.
    pub amount: Option<Money>,
    /// The cloud resource that it is about.
    pub resource: Option<ResourceFacts>,
    /// The product that it is about.
    pub product: Option<ProductFacts>,
    /// The partner that it is about.
    pub partner: Option<String>,
    /// Where a saga is stuck.
    pub stuck: Option<StuckFacts>,
}

/// The shop as its messages name it.
#[derive(Clone, PartialEq, Eq)]
pub struct Shop {
    /// Its name.
    pub name: String,
    /// Where it is found, without a slash at the end.
    pub url: String,
}

impl Default for Shop {
    fn default() -> Self {
        Self {
            name: "Waybill".into(),
            url: "http://127.0.0.1:8080".into(),
        }
    }
}

impl Shop {
    /// As the settings have it: its name is that of the sender of its mails.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let from = &settings.mail_from;
        let name = from
            .split_once('<')
            .map(|(name, _)| name.trim().trim_matches('"').to_owned())
            .filter(|name| !name.is_empty());
        Self {
            name: name.unwrap_or_else(|| Self::default().name),
            url: settings.public_url.clone(),
        }
    }
}

/// An order.
#[derive(Clone)]
pub struct OrderFacts {
    /// Its id.
    pub id: Uuid,
    /// What was ordered.
    pub lines: Vec<LineFacts>,
    /// The whole price; none when it is not known.
    pub total: Option<Money>,
    /// Where it goes; none when it is erased.
    pub delivery_address: Option<String>,
    /// Whom the deliverer may call; none when it is erased.
    pub phone: Option<String>,
    /// Where it is fetched.
    pub pickup_address: Option<String>,
}

/// A line of an order.
#[derive(Clone)]
pub struct LineFacts {
    /// The product's name.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// The price of the line.
    pub price: Money,
}

/// A cloud resource.
#[derive(Clone)]
pub struct ResourceFacts {
    /// Its name.
    pub name: String,
    /// What it is, such as a virtual machine.
    pub kind: Option<String>,
    /// Where it is.
    pub region: Option<String>,
}

/// A product whose stock is low.
#[derive(Clone)]
pub struct ProductFacts {
    /// Its name.
    pub name: String,
    /// Its SKU.
    pub sku: String,
    /// Units left to sell.
    pub available: u64,
    /// The threshold that was crossed.
    pub threshold: u32,
}

/// Where a saga is stuck.
#[derive(Clone)]
pub struct StuckFacts {
    /// At which step.
    pub step: String,
    /// Why.
    pub cause: String,
    /// For people.
    pub detail: String,
}

impl Facts {
    /// The same with texts of other people's made harmless: no line ends and no marks that turn the direction of writing,
    /// by which somebody's name could look like a part of the message, and nothing endless.
    pub(super) fn tidied(&self) -> Self {
        let tidy = |text: &String| tidy(text);
        let mut facts = self.clone();
        facts.shop.name = tidy(&facts.shop.name);
        facts.name = facts
            .name
            .as_ref()
            .map(tidy)
            .filter(|name| !name.is_empty());
        facts.detail = facts.detail.as_ref().map(tidy);
        facts.partner = facts.partner.as_ref().map(tidy);
        if let Some(order) = &mut facts.order {
            order.lines.truncate(LINES_MAX);
            for line in &mut order.lines {
                line.name = tidy(&line.name);
            }
            for text in [
                &mut order.delivery_address,
                &mut order.phone,
                &mut order.pickup_address,
            ] {
                *text = text.as_ref().map(tidy).filter(|text| !text.is_empty());
            }
        }
        if let Some(resource) = &mut facts.resource {
            resource.name = tidy(&resource.name);
            resource.kind = resource.kind.as_ref().map(tidy);
            resource.region = resource.region.as_ref().map(tidy);
        }
        if let Some(product) = &mut facts.product {
            product.name = tidy(&product.name);
            product.sku = tidy(&product.sku);
        }
        if let Some(stuck) = &mut facts.stuck {
            stuck.step = tidy(&stuck.step);
            stuck.cause = tidy(&stuck.cause);
            stuck.detail = tidy(&stuck.detail);
        }
        facts
    }
}

fn tidy(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let plain: String = text
        .chars()
        .take(TEXT_CHARS_MAX)
        .map(|c| {
            if c.is_control() || turns(c) || c.is_whitespace() {
                ' '
            } else {
                c
            }
        })
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}
