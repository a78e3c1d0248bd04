//! The words of each kind that every channel shares: a title, and one sentence that says it all.

use event_schema::notification::Kind;
use event_schema::order::CancelReason;

use super::RenderError;
use super::facts::Facts;

/// A text message and its reference are one message of 160 characters.
pub(super) const SHORT_CHARS_MAX: usize = 146;
/// Of a shop's name in a text message.
const SHOP_CHARS_MAX: usize = 24;

/// What every channel says.
pub(super) struct Words {
    /// A few words.
    pub(super) title: &'static str,
    /// One sentence.
    pub(super) lead: String,
    /// Title, and what it is about.
    pub(super) subject: String,
    /// The sentence with the sender's name, cut to a text message.
    pub(super) short: String,
}

/// A fact that the kind cannot be told without.
pub(super) fn need<'f, T>(fact: &'f Option<T>, name: &'static str) -> Result<&'f T, RenderError> {
    fact.as_ref().ok_or(RenderError::Missing(name))
}

pub(super) fn words(kind: Kind, facts: &Facts) -> Result<Words, RenderError> {
    let order = || need(&facts.order, "order").map(|order| order.id);
    let amount = || need(&facts.amount, "amount");
    let resource = || need(&facts.resource, "resource").map(|resource| &resource.name);
    let (title, lead) = match kind {
        Kind::CustomerAdded => (
            "Welcome",
            format!("Your account at {} is ready.", facts.shop.name),
        ),
        Kind::ResourceAdded => (
            "A resource is yours",
            format!("You have been given {}.", resource()?),
        ),
        Kind::ResourceRemoved => (
            "A resource was taken back",
            format!("You do not have {} any more.", resource()?),
        ),
        Kind::OrderPlaced => (
            "Order placed",
            match need(&facts.order, "order")?.total {
                Some(total) => format!("We have your order {} over {total}.", order()?),
                None => format!("We have your order {}.", order()?),
            },
        ),
        Kind::OrderConfirmed => (
            "Order confirmed",
            format!("Your order {} is paid and will be prepared now.", order()?),
        ),
        Kind::OrderCancelled => (
            "Order cancelled",
            format!(
                "Your order {} is cancelled: {}.",
                order()?,
                why(*need(&facts.reason, "reason")?)
            ),
        ),
        Kind::RefundPending => (
            "Refund on its way",
            format!(
                "We are giving you back {} for your order {}.",
                amount()?,
                order()?
            ),
        ),
        Kind::Refunded => (
            "Refunded",
            format!(
                "We have given you back {} for your order {}.",
                amount()?,
                order()?
            ),
        ),
        Kind::OrderReady => (
            "Order ready",
            format!(
                "Your order {} is prepared and waits for its deliverer.",
                order()?
            ),
        ),
        Kind::OrderOnItsWay => (
            "Order on its way",
            format!("Your order {} is on its way to you.", order()?),
        ),
        Kind::OrderDelivered => (
            "Order delivered",
            format!("Your order {} has been handed over.", order()?),
        ),
        Kind::LowStock => {
            let product = need(&facts.product, "product")?;
            (
                "Low stock",
                format!(
                    "{} units of {} are left; the threshold is {}.",
                    product.available, product.name, product.threshold
                ),
            )
        }
        Kind::SagaNeedsOperator => {
            let stuck = need(&facts.stuck, "stuck")?;
            (
                "An order needs a person",
                format!(
                    "Order {} is stuck at {}: {}.",
                    order()?,
                    stuck.step,
                    stuck.cause
                ),
            )
        }
        Kind::WebhookDisabled => (
            "A partner's webhook is gone",
            format!(
                "The system of {} says that its address is gone; nothing is sent there any more.",
                need(&facts.partner, "partner")?
            ),
        ),
        // Told to a partner's system, in its own form.
        Kind::OrderPrepare => return Err(RenderError::NotForPeople),
    };
    let about = match (kind, &facts.order) {
        (Kind::CustomerAdded, _) => format!("to {}", facts.shop.name),
        (Kind::ResourceAdded | Kind::ResourceRemoved, _) => format!(": {}", resource()?),
        (Kind::LowStock, _) => format!(": {}", need(&facts.product, "product")?.name),
        (Kind::WebhookDisabled, _) => format!(": {}", need(&facts.partner, "partner")?),
        (_, Some(order)) => format!(": {}", order.id),
        (_, None) => String::new(),
    };
    let gap = if about.is_empty() || about.starts_with(':') {
        ""
    } else {
        " "
    };
    Ok(Words {
        subject: format!("{title}{gap}{about}"),
        short: short(&facts.shop.name, &lead),
        title,
        lead,
    })
}

/// Why an order was cancelled, as people say it.
pub(super) const fn why(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::PaymentDeclined => "the payment was declined",
        CancelReason::PaymentExpired => "it was not paid in time",
        CancelReason::OutOfStock => "something in it is sold out",
        CancelReason::CustomerCancelled => "you cancelled it",
        CancelReason::OperatorAborted => "the shop had to call it off",
    }
}

fn short(shop: &str, lead: &str) -> String {
    let shop: String = shop.chars().take(SHOP_CHARS_MAX).collect();
    let whole = format!("{shop}: {lead}");
    if whole.chars().count() <= SHORT_CHARS_MAX {
        return whole;
    }
    let mut cut: String = whole.chars().take(SHORT_CHARS_MAX - 3).collect();
    cut.push_str("...");
    cut
}
