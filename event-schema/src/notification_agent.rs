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

event_set! {
    /// An agent's events.
    pub enum Event of "notification_agent" {
        /// The agent works like this.
        "notification_agent.set" 1 => Set(Set),
    }
    upcasts []
}
