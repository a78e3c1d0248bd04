//! What decisions about a resource remember.

use event_schema::resource::{Details, Event};
use serde::{Deserialize, Serialize};

/// A resource's life so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Nothing has this id.
    NotAdded,
    /// It is in the catalogue.
    Added(Details),
    /// It is not in the catalogue any more.
    Removed(Details),
}

impl State {
    /// What it is, while it is in the catalogue.
    pub fn current(&self) -> Option<&Details> {
        match self {
            Self::Added(details) => Some(details),
            Self::NotAdded | Self::Removed(_) => None,
        }
    }

    pub(super) fn evolve(self, event: &Event) -> Self {
        match (event, self) {
            (Event::Added(e), _) => Self::Added(e.details.clone()),
            (Event::Changed(e), Self::Added(_)) => Self::Added(e.details.clone()),
            (Event::Removed(_), Self::Added(details)) => Self::Removed(details),
            (Event::Changed(_) | Event::Removed(_), state) => state,
        }
    }
}
