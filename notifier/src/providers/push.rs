//! What both ways of pushing share.

use std::time::Duration;

use event_schema::notification::Kind;

use crate::port::Outgoing;

/// How long a push waits for a device that is switched off.
pub(super) const TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Title and body of a push.
pub(super) struct Told<'m> {
    pub(super) title: &'m str,
    pub(super) body: &'m str,
}

/// As the templates have it, else what a text message would say.
pub(super) fn told(message: &Outgoing) -> Told<'_> {
    let content = &message.content;
    let text = |name: &str| content.data.get(name).and_then(serde_json::Value::as_str);
    Told {
        title: text("title").unwrap_or(&content.subject),
        body: text("body").unwrap_or(&content.short),
    }
}

/// Whether a device is woken for it.
pub(super) const fn is_urgent(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::OrderCancelled
            | Kind::OrderReady
            | Kind::OrderOnItsWay
            | Kind::OrderDelivered
            | Kind::SagaNeedsOperator
    )
}

/// A browser's subscription is a JSON object; an app's token never begins like one.
pub(super) fn is_web_subscription(token: &str) -> bool {
    token.trim_start().starts_with('{')
}
