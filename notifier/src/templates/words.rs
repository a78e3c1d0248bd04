//! The words of each kind that every channel shares: a title, and one sentence that says it all.

use event_schema::notification::Kind;
use event_schema::order::CancelReason;

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

pub(super) fn words(kind: Kind, facts: &Facts) -> Words {
    let order = match facts.order_id {
        Some(id) => format!("order {id}"),
        None => "order".to_owned(),
    };
    let resource = facts.resource_name.as_deref().unwrap_or("a resource");
    let partner = facts.partner_title.as_deref().unwrap_or("a partner");
    let product = facts.product_name.as_deref().unwrap_or("a product");
    let refund = match facts.refund {
        Some(money) => money.to_string(),
        None => "your money".to_owned(),
    };
    let (title, lead) = match kind {
        Kind::CustomerAdded => (
            "Welcome",
            format!("Your account at {} is ready.", facts.shop_name),
        ),
        Kind::ResourceAdded => (
            "A resource is yours",
            format!("You have been given {resource}."),
        ),
        Kind::ResourceRemoved => (
            "A resource was taken back",
            format!("You do not have {resource} any more."),
        ),
        Kind::OrderPlaced => (
            "Order placed",
            match facts.total {
                Some(total) => format!("We have your {order} over {total}."),
                None => format!("We have your {order}."),
            },
        ),
        Kind::OrderConfirmed => (
            "Order confirmed",
            format!("Your {order} is paid and will be prepared now."),
        ),
        Kind::OrderCancelled => (
            "Order cancelled",
            match facts.reason {
                Some(reason) => format!("Your {order} is cancelled: {}.", why(reason)),
                None => format!("Your {order} is cancelled."),
            },
        ),
        Kind::RefundPending => (
            "Refund on its way",
            format!("We are giving you back {refund} for your {order}."),
        ),
        Kind::Refunded => (
            "Refunded",
            format!("We have given you back {refund} for your {order}."),
        ),
        Kind::OrderReady => (
            "Order ready",
            format!("Your {order} is prepared and waits for its deliverer."),
        ),
        Kind::OrderOnItsWay => (
            "Order on its way",
            format!("Your {order} is on its way to you."),
        ),
        Kind::OrderDelivered => (
            "Order delivered",
            format!("Your {order} has been handed over."),
        ),
        Kind::LowStock => (
            "Low stock",
            match facts.available {
                Some(left) => format!("{left} units of {product} are left."),
                None => format!("Few units of {product} are left."),
            },
        ),
        Kind::SagaNeedsOperator => (
            "An order needs a person",
            match &facts.cause {
                Some(cause) => format!("The {order} cannot go on by itself: {cause}."),
                None => format!("The {order} cannot go on by itself."),
            },
        ),
        Kind::OrderPrepare => (
            "An order to prepare",
            format!("There is the {order} for you to prepare."),
        ),
        Kind::WebhookDisabled => (
            "A partner's webhook is switched off",
            format!(
                "The system of {partner} says that its address is gone; nothing is sent there any more."
            ),
        ),
    };
    let about = match kind {
        Kind::CustomerAdded => None,
        Kind::ResourceAdded | Kind::ResourceRemoved => facts.resource_name.clone(),
        Kind::LowStock => facts.product_name.clone(),
        Kind::WebhookDisabled => facts.partner_title.clone(),
        Kind::OrderPlaced
        | Kind::OrderConfirmed
        | Kind::OrderCancelled
        | Kind::RefundPending
        | Kind::Refunded
        | Kind::OrderReady
        | Kind::OrderOnItsWay
        | Kind::OrderDelivered
        | Kind::SagaNeedsOperator
        | Kind::OrderPrepare => facts.order_id.map(|id| id.to_string()),
    };
    Words {
        subject: match about {
            Some(about) => format!("{title}: {about}"),
            None => format!("{title} at {}", facts.shop_name),
        },
        short: short(&facts.shop_name, &lead),
        title,
        lead,
    }
}

/// Why an order was cancelled, as people say it.
const fn why(reason: CancelReason) -> &'static str {
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
