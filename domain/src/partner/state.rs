//! What decisions about a partner remember.

use event_schema::partner::Event;
use serde::{Deserialize, Serialize};

/// A partner's life so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Nobody has this id.
    NotAdded,
    /// The partner exists.
    Added {
        /// Its business data.
        profile: Profile,
        /// Whether the business was checked.
        verified: bool,
        /// Whether it sells.
        enabled: bool,
        /// Why nothing is sent to its system, as a short code.
        webhook_disabled: Option<String>,
    },
}

/// A partner's business data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Name of the business.
    pub title: String,
    /// The brand shown to customers.
    pub brand: String,
    /// Business telephone number.
    pub phone: String,
    /// Business e-mail address.
    pub email: String,
    /// Where orders are picked up.
    pub address: String,
    /// Where the partner wants to be told of orders.
    pub webhook_url: Option<String>,
}

impl State {
    /// Whether what it offers can be bought.
    pub fn buyable(&self) -> bool {
        matches!(
            self,
            Self::Added {
                verified: true,
                enabled: true,
                ..
            }
        )
    }

    /// Its business data, if it exists.
    pub fn profile(&self) -> Option<&Profile> {
        match self {
            Self::NotAdded => None,
            Self::Added { profile, .. } => Some(profile),
        }
    }

    /// Where its system is told of orders, if it has one and wants to hear.
    pub fn webhook(&self) -> Option<&str> {
        match self {
            Self::Added {
                profile,
                webhook_disabled: None,
                ..
            } => profile.webhook_url.as_deref(),
            Self::NotAdded | Self::Added { .. } => None,
        }
    }

    /// Why nothing is sent to its system, as a short code, if that is so.
    pub fn webhook_disabled(&self) -> Option<&str> {
        match self {
            Self::NotAdded => None,
            Self::Added {
                webhook_disabled, ..
            } => webhook_disabled.as_deref(),
        }
    }

    pub(super) fn evolve(mut self, event: &Event) -> Self {
        match event {
            Event::Added(e) => {
                return Self::Added {
                    profile: Profile {
                        title: e.title.clone(),
                        brand: e.brand.clone(),
                        phone: e.phone.clone(),
                        email: e.email.clone(),
                        address: e.address.clone(),
                        webhook_url: e.webhook_url.clone(),
                    },
                    verified: false,
                    enabled: false,
                    webhook_disabled: None,
                };
            }
            Event::Changed(e) => {
                if let Self::Added {
                    profile,
                    webhook_disabled,
                    ..
                } = &mut self
                {
                    *webhook_disabled = None;
                    *profile = Profile {
                        title: e.title.clone(),
                        brand: e.brand.clone(),
                        phone: e.phone.clone(),
                        email: e.email.clone(),
                        address: e.address.clone(),
                        webhook_url: e.webhook_url.clone(),
                    };
                }
            }
            Event::Verified(_) => {
                if let Self::Added { verified, .. } = &mut self {
                    *verified = true;
                }
            }
            Event::Enabled(_) => {
                if let Self::Added {
                    enabled,
                    webhook_disabled,
                    ..
                } = &mut self
                {
                    *enabled = true;
                    *webhook_disabled = None;
                }
            }
            Event::Disabled(_) => {
                if let Self::Added { enabled, .. } = &mut self {
                    *enabled = false;
                }
            }
            Event::WebhookDisabled(e) => {
                if let Self::Added {
                    webhook_disabled, ..
                } = &mut self
                {
                    *webhook_disabled = Some(e.cause.clone());
                }
            }
        }
        self
    }
}
