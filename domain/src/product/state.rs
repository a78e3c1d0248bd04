//! What decisions about a product remember.

use event_schema::ids::PartnerId;
use event_schema::product::{Details, Event};
use serde::{Deserialize, Serialize};

/// A product's life so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Nothing has this id.
    NotAdded,
    /// The product exists.
    Added {
        /// What never changes.
        identity: Identity,
        /// How it is described now.
        details: Details,
    },
    /// It is not sold any more.
    Removed {
        /// What it was.
        identity: Identity,
    },
}

/// What of a product never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The seller's own name for it.
    pub sku: String,
    /// Keyed hash of the normalised SKU.
    pub sku_key: String,
    /// The partner who added it; none when an admin did.
    pub partner_id: Option<PartnerId>,
}

impl State {
    /// The product, while it exists.
    pub fn current(&self) -> Option<(&Identity, &Details)> {
        match self {
            Self::Added { identity, details } => Some((identity, details)),
            Self::NotAdded | Self::Removed { .. } => None,
        }
    }

    pub(super) fn evolve(self, event: &Event) -> Self {
        match (event, self) {
            (Event::Added(e), _) => Self::Added {
                identity: Identity {
                    sku: e.sku.clone(),
                    sku_key: e.sku_key.clone(),
                    partner_id: e.partner_id,
                },
                details: e.details.clone(),
            },
            (Event::Changed(e), Self::Added { identity, .. }) => Self::Added {
                identity,
                details: e.details.clone(),
            },
            (Event::Removed(_), Self::Added { identity, .. }) => Self::Removed { identity },
            (
                Event::Changed(_) | Event::Removed(_),
                state @ (Self::NotAdded | Self::Removed { .. }),
            ) => state,
        }
    }
}
