//! What a message may speak of. Plain values, opened; never stored and never logged.

use event_schema::Money;
use event_schema::order::CancelReason;
use service_kit::Settings;
use uuid::Uuid;

/// Longer texts of other people's are cut.
const TEXT_CHARS_MAX: usize = 500;
/// Lines of an order that are listed.
const LINES_MAX: usize = 50;
/// What a shop is called that has no name.
const NAMELESS: &str = "Waybill";

/// Everything that is known at the moment of writing; what a kind does not speak of is empty.
#[derive(Clone, Default)]
pub struct Facts {
    /// The recipient's name.
    pub recipient_name: Option<String>,
    /// The customer's name, when somebody else is told of his order.
    pub customer_name: Option<String>,
    /// The order.
    pub order_id: Option<Uuid>,
    /// What was ordered.
    pub lines: Vec<Line>,
    /// What the order costs.
    pub total: Option<Money>,
    /// What goes back or went back.
    pub refund: Option<Money>,
    /// Why the order was called off.
    pub reason: Option<CancelReason>,
    /// More of why, for people: what was sold out, why a person is needed.
    pub detail: Option<String>,
    /// The step at which a saga needs a person.
    pub step: Option<String>,
    /// Why a saga needs a person, as its stable word.
    pub cause: Option<String>,
    /// Where the order goes.
    pub delivery_address: Option<String>,
    /// Whom to call about the order.
    pub phone: Option<String>,
    /// Where the order is picked up.
    pub pickup_address: Option<String>,
    /// The partner.
    pub partner_title: Option<String>,
    /// The product.
    pub product_name: Option<String>,
    /// The seller's name for the product.
    pub product_sku: Option<String>,
    /// The product's id.
    pub product_id: Option<Uuid>,
    /// How many units can be sold.
    pub available: Option<u64>,
    /// At or below how many units a stock is low.
    pub threshold: Option<u32>,
    /// The cloud resource.
    pub resource_name: Option<String>,
    /// What the cloud resource is, such as a virtual machine.
    pub resource_kind: Option<String>,
    /// Where the cloud resource is.
    pub resource_region: Option<String>,
    /// The address under which the world reaches the shop, without a slash at the end.
    pub public_url: String,
    /// The shop's name; empty where it has none.
    pub shop_name: String,
}

/// One line of an order.
#[derive(Clone)]
pub struct Line {
    /// Which product.
    pub product_id: Uuid,
    /// The seller's name for it.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// What one costs.
    pub unit_price: Money,
    /// What all of them cost.
    pub total: Money,
}

/// The shop's name: that of the sender of its mails.
#[must_use]
pub fn shop_name(settings: &Settings) -> String {
    settings
        .mail_from
        .split_once('<')
        .map(|(name, _)| name.trim().trim_matches('"').to_owned())
        .unwrap_or_default()
}

impl Facts {
    /// The same with texts of other people's made harmless: no line ends and no marks that turn the direction of writing,
    /// by which somebody's name could look like a part of the message, and nothing endless.
    pub(super) fn tidied(&self) -> Self {
        let mut facts = self.clone();
        facts.shop_name = tidy(&facts.shop_name);
        if facts.shop_name.is_empty() {
            facts.shop_name = NAMELESS.to_owned();
        }
        facts.lines.truncate(LINES_MAX);
        for line in &mut facts.lines {
            line.name = tidy(&line.name);
            line.sku = tidy(&line.sku);
        }
        for text in [
            &mut facts.recipient_name,
            &mut facts.customer_name,
            &mut facts.detail,
            &mut facts.step,
            &mut facts.cause,
            &mut facts.delivery_address,
            &mut facts.phone,
            &mut facts.pickup_address,
            &mut facts.partner_title,
            &mut facts.product_name,
            &mut facts.product_sku,
            &mut facts.resource_name,
            &mut facts.resource_kind,
            &mut facts.resource_region,
        ] {
            *text = text.as_deref().map(tidy).filter(|text| !text.is_empty());
        }
        facts
    }
}

fn tidy(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let plain: String = text
        .chars()
        .take(TEXT_CHARS_MAX)
        .map(|c| if c.is_control() || turns(c) { ' ' } else { c })
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}
