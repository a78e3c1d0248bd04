//! Stands in where nothing is configured: a line in the log a message, without anything personal.

use async_trait::async_trait;
use event_schema::notification::Channel;

use crate::port::{Outcome, Outgoing, Provider, Recovery};

/// Writes that there was a message, and nothing of whom it was for.
pub(super) struct Log(pub(super) Channel);

#[async_trait]
impl Provider for Log {
    fn name(&self) -> &'static str {
        "log"
    }

    fn channel(&self) -> Channel {
        self.0
    }

    /// A line that may have been written is not worth another one.
    fn recovery(&self) -> Recovery {
        Recovery::Nothing
    }

    async fn send(&self, message: &Outgoing) -> Outcome {
        tracing::info!(
            notification.kind = message.kind.as_str(),
            notification.channel = self.0.as_str(),
            notification.delivery_id = %message.delivery_id,
            order_id = message.order_id.map(tracing::field::display),
            "no provider is set for this channel: this message is written here and nowhere else"
        );
        Outcome::Sent { provider_id: None }
    }
}
