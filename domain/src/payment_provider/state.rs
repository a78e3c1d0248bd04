//! What decisions about a payment provider remember.

use event_schema::payment_provider::Event;
use serde::{Deserialize, Serialize};

/// A provider's life so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Nobody said anything about it: it is used as it is configured.
    NotSet,
    /// It is used like this.
    Set(Provider),
}

/// How a provider is shown and used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Its name for people.
    pub title: String,
    /// Whether new orders may be paid with it.
    pub active: bool,
    /// Whether customers may pay on its hosted page.
    pub checkout: bool,
}

impl State {
    /// Whether a new order may be paid with it, on its hosted page or without.
    pub fn takes(&self, on_hosted_page: bool) -> bool {
        match self {
            Self::NotSet => true,
            Self::Set(provider) => provider.active && (provider.checkout || !on_hosted_page),
        }
    }

    pub(super) fn evolved(event: &Event) -> Self {
        match event {
            Event::Set(e) => Self::Set(Provider {
                title: e.title.clone(),
                active: e.active,
                checkout: e.checkout,
            }),
        }
    }
}
