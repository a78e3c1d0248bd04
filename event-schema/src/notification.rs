//! What can happen to the messages that leave the house: intended, tried, ended. Nothing in here names a person:
//! addresses are looked up and opened at the moment of sending.
//!
//! All messages about one order are one history under the order's id; others are kept under the id of the aggregate
//! whose event they tell of (a customer, an assignment, a product, a partner).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;
use crate::event_set::event_set;
use crate::ids::{CommandId, CustomerId, DeliveryId, OrderId, PartnerId, derived};

/// A way out of the house.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// E-mail.
    Email,
    /// Text message to a telephone.
    Sms,
    /// Pushed to the person's device.
    Push,
    /// A partner's own system.
    Webhook,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 4] = [Self::Email, Self::Sms, Self::Push, Self::Webhook];

    /// The channel as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
            Self::Push => "push",
            Self::Webhook => "webhook",
        }
    }

    /// Who can carry on this channel, as their settings name them. `log` only writes a line, and is there for a shop
    /// that has nobody else.
    pub const fn providers(self) -> &'static [&'static str] {
        match self {
            Self::Email => &["smtp", "resend", "log"],
            Self::Sms => &["twilio", "log"],
            Self::Push => &["fcm", "webpush", "log"],
            Self::Webhook => &["webhooks", "log"],
        }
    }
}

/// What a message tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The customer has an account.
    CustomerAdded,
    /// The customer got a cloud resource.
    ResourceAdded,
    /// The customer has a cloud resource no more.
    ResourceRemoved,
    /// The order is placed.
    OrderPlaced,
    /// Paid and in stock; only once the saga has completed.
    OrderConfirmed,
    /// Called off and put back.
    OrderCancelled,
    /// Money is on its way back.
    RefundPending,
    /// The money is back.
    Refunded,
    /// Prepared.
    OrderReady,
    /// Somebody brings it.
    OrderOnItsWay,
    /// The customer has it.
    OrderDelivered,
    /// A product is nearly sold out.
    LowStock,
    /// A saga cannot go on by itself.
    SagaNeedsOperator,
    /// The partner is told what to prepare: the webhook `order.prepare`.
    OrderPrepare,
    /// A partner's system said that its address is gone; nothing goes there any more.
    WebhookDisabled,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 15] = [
        Self::CustomerAdded,
        Self::ResourceAdded,
        Self::ResourceRemoved,
        Self::OrderPlaced,
        Self::OrderConfirmed,
        Self::OrderCancelled,
        Self::RefundPending,
        Self::Refunded,
        Self::OrderReady,
        Self::OrderOnItsWay,
        Self::OrderDelivered,
        Self::LowStock,
        Self::SagaNeedsOperator,
        Self::OrderPrepare,
        Self::WebhookDisabled,
    ];

    /// The kind as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CustomerAdded => "customer_added",
            Self::ResourceAdded => "resource_added",
            Self::ResourceRemoved => "resource_removed",
            Self::OrderPlaced => "order_placed",
            Self::OrderConfirmed => "order_confirmed",
            Self::OrderCancelled => "order_cancelled",
            Self::RefundPending => "refund_pending",
            Self::Refunded => "refunded",
            Self::OrderReady => "order_ready",
            Self::OrderOnItsWay => "order_on_its_way",
            Self::OrderDelivered => "order_delivered",
            Self::LowStock => "low_stock",
            Self::SagaNeedsOperator => "saga_needs_operator",
            Self::OrderPrepare => "order_prepare",
            Self::WebhookDisabled => "webhook_disabled",
        }
    }
}

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipient {
    /// A person with an account: a buyer, a deliverer, an admin.
    Customer(CustomerId),
    /// A business that sells.
    Partner(PartnerId),
}

impl Recipient {
    /// The bare id.
    pub const fn uuid(self) -> Uuid {
        match self {
            Self::Customer(id) => id.uuid(),
            Self::Partner(id) => id.uuid(),
        }
    }
}

/// What goes first when there is more to send than can be sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Before all else.
    High,
    /// In between.
    Normal,
    /// When nothing else waits.
    Low,
}

impl Priority {
    /// The priority as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}

/// A time of day during which somebody is left alone; it may run over midnight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietHours {
    /// From this time of day on, `HH:MM`.
    pub from: String,
    /// Until this time of day, `HH:MM`.
    pub until: String,
    /// IANA name of the time zone that both are meant in, such as `Europe/Berlin`.
    pub time_zone: String,
}

/// What an attempt led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The provider took it.
    Sent,
    /// The provider will never take it for this address.
    Rejected,
    /// Nothing was sent; another try may work.
    Transient,
    /// It may have been sent or not.
    Unknown,
}

impl Outcome {
    /// The outcome as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Rejected => "rejected",
            Self::Transient => "transient",
            Self::Unknown => "unknown",
        }
    }
}

/// How a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// A provider took it.
    Sent,
    /// No provider will take it for this address, or there is no address.
    Rejected,
    /// Nobody took it in the time there was.
    Failed,
    /// It may have been sent or not, and nobody can say.
    Unknown,
}

impl Status {
    /// The status as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// The agent by whose settings a message goes out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentVersion {
    /// Its name.
    pub name: String,
    /// The version of its settings; 0 while nobody set it.
    pub version: u64,
}

/// The id of the message that tells somebody of an event on a channel: the same whoever works it out, and so at most one.
pub fn delivery_id(event: Uuid, channel: Channel, recipient: Recipient) -> DeliveryId {
    DeliveryId(derived(&[
        "delivery",
        &event.to_string(),
        channel.as_str(),
        &recipient.uuid().to_string(),
    ]))
}

/// The id of one more sending of a message, which somebody asked for by a command.
pub fn replay_id(original: DeliveryId, command: CommandId) -> DeliveryId {
    DeliveryId(derived(&[
        "replay",
        &original.to_string(),
        &command.to_string(),
    ]))
}

/// Somebody is to be told something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intended {
    /// The message.
    pub delivery_id: DeliveryId,
    /// The event it tells of.
    pub event_id: Uuid,
    /// What it tells.
    pub kind: Kind,
    /// By which way.
    pub channel: Channel,
    /// Whom.
    pub recipient: Recipient,
    /// The order it is about.
    pub order_id: Option<OrderId>,
    /// The resource, product, customer or partner it is about, when that is not the order.
    pub about: Option<Uuid>,
    /// By whose settings.
    pub agent: AgentVersion,
    /// What goes first.
    pub priority: Priority,
    /// Who may carry it, in order.
    pub providers: Vec<String>,
    /// Whether it may rather arrive twice than not at all.
    pub allow_duplicates: bool,
    /// When it was intended.
    pub intended_at: Timestamp,
    /// Not before this moment, because the recipient or the agent has quiet hours.
    pub not_before: Option<Timestamp>,
    /// The message that is sent once more.
    pub replay_of: Option<DeliveryId>,
}

/// A provider is asked to carry it; recorded before it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempted {
    /// The message.
    pub delivery_id: DeliveryId,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The provider.
    pub provider: String,
    /// When.
    pub at: Timestamp,
}

/// What came of an attempt. An attempt that ended `unknown` may end again, once somebody knows more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptEnded {
    /// The message.
    pub delivery_id: DeliveryId,
    /// The attempt.
    pub attempt: u32,
    /// The provider.
    pub provider: String,
    /// What it led to.
    pub outcome: Outcome,
    /// The provider's name for the message.
    pub provider_id: Option<String>,
    /// Why, as a short code without personal data.
    pub cause: Option<String>,
    /// When it goes on, unless it is settled.
    pub retry_at: Option<Timestamp>,
    /// Who is asked then.
    pub next_provider: Option<String>,
}

/// Nothing is done about the message any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The message.
    pub delivery_id: DeliveryId,
    /// How it ended.
    pub status: Status,
    /// Why, as a short code without personal data.
    pub cause: Option<String>,
}

event_set! {
    /// The events of messages that leave the house.
    pub enum Event of "notification" {
        /// Somebody is to be told something.
        "notification.intended" 1 => Intended(Intended),
        /// A provider is asked.
        "notification.attempted" 1 => Attempted(Attempted),
        /// What came of it.
        "notification.attempt_ended" 1 => AttemptEnded(AttemptEnded),
        /// It is over.
        "notification.settled" 1 => Settled(Settled),
    }
    upcasts []
}
