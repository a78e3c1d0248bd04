//! Where nothing is set for a channel its messages are lines of the log: enough to see that something would have left,
//! and nothing about a person.

use async_trait::async_trait;
use event_schema::notification::Channel;

use super::http::sent;
use crate::port::{Address, Outcome, Outgoing, Provider, Recovery};

/// Writes a channel's messages to the log.
#[derive(Debug)]
pub struct Log {
    channel: Channel,
}

impl Log {
    /// For this channel.
    #[must_use]
    pub const fn new(channel: Channel) -> Self {
        Self { channel }
    }
}

#[async_trait]
impl Provider for Log {
    fn name(&self) -> &'static str {
        "log"
    }

    fn channel(&self) -> Channel {
        self.channel
    }

    fn recovery(&self) -> Recovery {
        Recovery::Nothing
    }

    fn serves(&self, to: &Address) -> bool {
        let channel = match to {
            Address::Email { .. } => Channel::Email,
            Address::Phone(_) => Channel::Sms,
            Address::Device(_) => Channel::Push,
            Address::Webhook { .. } => Channel::Webhook,
        };
        channel == self.channel
    }

    async fn send(&self, message: &Outgoing) -> Outcome {
        tracing::info!(
            kind = message.kind.as_str(),
            channel = self.channel.as_str(),
            order_id = message.order_id.map(tracing::field::display),
            delivery_id = %message.delivery_id,
            "no provider is set for this channel: the message is written here and nowhere else"
        );
        sent(None)
    }
}
