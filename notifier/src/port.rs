//! The port between the core, which decides what is sent when, and those who carry it.

use std::time::Duration;

use async_trait::async_trait;
use event_schema::Timestamp;
use event_schema::notification::{Channel, Kind};
use secrecy::SecretString;
use uuid::Uuid;

pub use domain::notification::Recovery;

/// What goes out, with everything opened. It has no `Debug` and is never logged: it names a person.
#[derive(Clone)]
pub struct Outgoing {
    /// The idempotency key at the provider; also a webhook's `webhook-id`. A replay keeps that of its original.
    pub delivery_id: Uuid,
    /// From 1.
    pub attempt: u32,
    /// What it tells.
    pub kind: Kind,
    /// The order it is about.
    pub order_id: Option<Uuid>,
    /// When it was intended: where a look-up begins.
    pub intended_at: Timestamp,
    /// Whom.
    pub to: Address,
    /// What.
    pub content: Content,
}

/// Where somebody is reached.
#[derive(Clone)]
pub enum Address {
    /// By e-mail.
    Email {
        /// The address.
        address: String,
        /// The person's or the business's name.
        name: Option<String>,
    },
    /// By telephone number.
    Phone(String),
    /// By the token of a device.
    Device(String),
    /// At a partner's system.
    Webhook {
        /// The partner.
        partner_id: Uuid,
        /// Where.
        url: String,
        /// What it is signed with, the newest first.
        secrets: Vec<SecretString>,
    },
}

/// What is said; each channel takes what it can show.
#[derive(Clone, Default)]
pub struct Content {
    /// One line.
    pub subject: String,
    /// The whole as text.
    pub text: String,
    /// The whole as HTML.
    pub html: String,
    /// At most 160 characters.
    pub short: String,
    /// For programs; a webhook's body.
    pub data: serde_json::Value,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took it.
    Sent {
        /// Its name for the message.
        provider_id: Option<String>,
    },
    /// No retry, and no other provider for this address.
    Rejected {
        /// A short code without personal data.
        cause: String,
        /// Whether the address itself is dead: a push token unregistered, a webhook that answers 410.
        gone: bool,
    },
    /// Nothing was sent; another try may work.
    Transient {
        /// A short code without personal data.
        cause: String,
        /// How much patience the provider asks for.
        retry_after: Option<Duration>,
    },
    /// It may have been sent.
    Unknown {
        /// A short code without personal data.
        cause: String,
    },
    /// The provider has met the key before, under another content or in a call that still goes on: something of it may
    /// have been sent, which is as unknown as without an answer, but an answer it is: nothing is wrong with the provider.
    KeyInUse {
        /// A short code without personal data.
        cause: String,
    },
}

impl Outcome {
    /// Whether the provider did its part, whatever it thought of the message.
    pub fn speaks_for_the_provider(&self) -> bool {
        matches!(
            self,
            Self::Sent { .. } | Self::Rejected { .. } | Self::KeyInUse { .. }
        )
    }
}

/// What a look-up found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The provider has it.
    Sent {
        /// Its name for the message.
        provider_id: Option<String>,
    },
    /// The provider does not have it, and will not get it from that call any more.
    NotSent,
    /// Nobody can say yet.
    Unknown,
}

/// Somebody who carries messages on one channel.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Its name in settings, events and metrics.
    fn name(&self) -> &'static str;
    /// What it carries.
    fn channel(&self) -> Channel;
    /// What may be done when it is not known whether it has a message.
    fn recovery(&self) -> Recovery;
    /// Whether an address of its channel is one that it can reach: of the tokens of devices some are an app's and some a
    /// browser's. Who does not serve an address is passed over for it, which is no failure.
    fn serves(&self, _to: &Address) -> bool {
        true
    }
    /// Asks it to carry the message; bounded in time by itself.
    async fn send(&self, message: &Outgoing) -> Outcome;
    /// Whether it has the message; bounded in time by itself.
    async fn look_up(&self, _message: &Outgoing) -> Found {
        Found::Unknown
    }
}
