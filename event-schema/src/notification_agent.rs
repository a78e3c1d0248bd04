//! What can happen to an agent: the settings by which some kinds of messages go out.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event_set::event_set;
use crate::ids::derived;
use crate::notification::{Channel, Kind, Priority, QuietHours};

/// The id of an agent's history; `name` is its name in the API, such as `orders`.
pub fn id(name: &str) -> Uuid {
    derived(&["notification_agent", name])
}

/// A way out of the house, and who carries on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The channel.
    pub channel: Channel,
    /// Who is asked, in order; empty means everyone who is configured for the channel.
    pub providers: Vec<String>,
}

/// The agent works like this from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// Its name in the API.
    pub name: String,
    /// What it tells.
    pub kinds: Vec<Kind>,
    /// What goes first.
    pub priority: Priority,
    /// By which ways, each once.
    pub channels: Vec<Route>,
    /// Whether it tells anything at all.
    pub active: bool,
    /// Whether a message may rather arrive twice than not at all.
    pub allow_duplicates: bool,
    /// When nobody is told anything by it.
    pub quiet_hours: Option<QuietHours>,
}

/// The agents that hold while nobody has set any: an agent that is set takes the place of the built-in one of its name.
/// One that names no providers uses every one that is configured for the channel.
pub fn built_in() -> [Set; 4] {
    use Channel::{Email, Push, Sms, Webhook};
    let agent = |name: &str, kinds: &[Kind], priority, channels: &[Channel]| Set {
        name: name.to_owned(),
        kinds: kinds.to_vec(),
        priority,
        channels: channels
            .iter()
            .map(|channel| Route {
                channel: *channel,
                providers: Vec::new(),
            })
            .collect(),
        active: true,
        allow_duplicates: false,
        quiet_hours: None,
    };
    [
        agent(
            "orders",
            &[
                Kind::OrderPlaced,
                Kind::OrderConfirmed,
                Kind::OrderCancelled,
                Kind::RefundPending,
                Kind::Refunded,
                Kind::OrderReady,
                Kind::OrderOnItsWay,
                Kind::OrderDelivered,
            ],
            Priority::High,
            &[Email, Push, Sms],
        ),
        agent(
            "account",
            &[
                Kind::CustomerAdded,
                Kind::ResourceAdded,
                Kind::ResourceRemoved,
            ],
            Priority::Normal,
            &[Email],
        ),
        agent(
            "staff",
            &[
                Kind::LowStock,
                Kind::SagaNeedsOperator,
                Kind::WebhookDisabled,
            ],
            Priority::Normal,
            &[Email],
        ),
        agent(
            "partners",
            &[Kind::OrderPrepare],
            Priority::High,
            &[Webhook],
        ),
    ]
}

event_set! {
    /// An agent's events.
    pub enum Event of "notification_agent" {
        /// The agent works like this.
        "notification_agent.set" 1 => Set(Set),
    }
    upcasts []
}
