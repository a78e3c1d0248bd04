//! What decisions about a customer remember. Personal data stays sealed.

use event_schema::Sealed;
use event_schema::customer::{Event, Role};
use serde::{Deserialize, Serialize};

/// A customer's life so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum State {
    /// Nobody has this id.
    NotAdded,
    /// The customer exists.
    Added(Customer),
}

/// Who the customer is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    /// Full name.
    pub name: Sealed<String>,
    /// E-mail address as given.
    pub email: Sealed<String>,
    /// Keyed hash of the normalised address.
    pub email_key: String,
    /// What the person may do.
    pub role: Role,
}

impl State {
    /// The customer, if there is one.
    pub fn details(&self) -> Option<&Customer> {
        match self {
            Self::NotAdded => None,
            Self::Added(customer) => Some(customer),
        }
    }

    pub(super) fn evolve(self, event: &Event) -> Self {
        match event {
            Event::Added(added) => Self::Added(Customer {
                name: added.name.clone(),
                email: added.email.clone(),
                email_key: added.email_key.clone(),
                role: added.role,
            }),
        }
    }
}
