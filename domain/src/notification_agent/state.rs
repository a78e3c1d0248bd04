//! What decisions about an agent remember.

use event_schema::notification::{Kind, Priority, QuietHours};
use event_schema::notification_agent::{self as event, Event, Route};
use serde::{Deserialize, Serialize};

/// An agent's life so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Nobody said anything about it: the built-in one of its name holds, if there is one.
    NotSet,
    /// It works like this.
    Set(Agent),
}

/// How an agent works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Its name in the API.
    pub name: String,
    /// What it tells.
    pub kinds: Vec<Kind>,
    /// What goes first.
    pub priority: Priority,
    /// By which ways, and who carries on each.
    pub channels: Vec<Route>,
    /// Whether it tells anything at all.
    pub active: bool,
    /// Whether a message may rather arrive twice than not at all.
    pub allow_duplicates: bool,
    /// When nobody is told anything by it.
    pub quiet_hours: Option<QuietHours>,
}

impl Agent {
    /// Whether it tells this.
    pub fn tells(&self, kind: Kind) -> bool {
        self.active && self.kinds.contains(&kind)
    }
}

impl State {
    /// How it works, if somebody said so.
    pub fn agent(&self) -> Option<&Agent> {
        match self {
            Self::NotSet => None,
            Self::Set(agent) => Some(agent),
        }
    }

    pub(super) fn evolved(event: &Event) -> Self {
        match event {
            Event::Set(set) => Self::Set(set.clone().into()),
        }
    }
}

impl From<event::Set> for Agent {
    fn from(set: event::Set) -> Self {
        let event::Set {
            name,
            kinds,
            priority,
            channels,
            active,
            allow_duplicates,
            quiet_hours,
        } = set;
        Self {
            name,
            kinds,
            priority,
            channels,
            active,
            allow_duplicates,
            quiet_hours,
        }
    }
}

impl From<Agent> for event::Set {
    fn from(agent: Agent) -> Self {
        let Agent {
            name,
            kinds,
            priority,
            channels,
            active,
            allow_duplicates,
            quiet_hours,
        } = agent;
        Self {
            name,
            kinds,
            priority,
            channels,
            active,
            allow_duplicates,
            quiet_hours,
        }
    }
}
