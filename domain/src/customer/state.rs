//! What decisions about a customer remember. Personal data stays sealed.

use event_schema::Sealed;
use event_schema::customer::{Event, Role};
use event_schema::ids::PartnerId;
use event_schema::notification::{Channel, QuietHours};
use serde::{Deserialize, Serialize};

/// A customer's life so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum State {
    /// Nobody has this id.
    NotAdded,
    /// The customer exists and may sign in.
    Added(Customer),
    /// The account is closed.
    Deactivated(Customer),
    /// The person's data is unreadable; only the id is left.
    Erased,
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
    /// Whether the person showed that the address is his.
    pub email_verified: bool,
    /// Telephone number.
    pub phone: Option<Sealed<String>>,
    /// Day of birth.
    pub birth_date: Option<Sealed<String>>,
    /// Where pushed messages reach the person's device.
    pub push_token: Option<Sealed<String>>,
    /// What the person may do.
    pub role: Role,
    /// Whom a partner's person acts for.
    pub partner_id: Option<PartnerId>,
    /// The name of the stored picture.
    pub avatar: Option<String>,
    /// Ways by which the person is told nothing.
    pub channels_off: Vec<Channel>,
    /// When the person is left alone.
    pub quiet_hours: Option<QuietHours>,
}

impl State {
    /// The customer, if there is one whose data can still be read.
    pub fn details(&self) -> Option<&Customer> {
        match self {
            Self::NotAdded | Self::Erased => None,
            Self::Added(customer) | Self::Deactivated(customer) => Some(customer),
        }
    }

    /// The customer, if he may sign in and be given things.
    pub fn active(&self) -> Option<&Customer> {
        match self {
            Self::Added(customer) => Some(customer),
            Self::NotAdded | Self::Deactivated(_) | Self::Erased => None,
        }
    }

    fn changed(mut self, change: impl FnOnce(&mut Customer)) -> Self {
        if let Self::Added(customer) | Self::Deactivated(customer) = &mut self {
            change(customer);
        }
        self
    }

    pub(super) fn evolve(self, event: &Event) -> Self {
        match event {
            Event::Added(added) => Self::Added(Customer {
                name: added.name.clone(),
                email: added.email.clone(),
                email_key: added.email_key.clone(),
                email_verified: false,
                phone: None,
                birth_date: None,
                push_token: None,
                role: added.role,
                partner_id: None,
                avatar: None,
                channels_off: Vec::new(),
                quiet_hours: None,
            }),
            Event::ProfileChanged(e) => self.changed(|customer| {
                customer.name = e.name.clone();
                customer.phone = e.phone.clone();
                customer.birth_date = e.birth_date.clone();
                customer.push_token = e.push_token.clone();
            }),
            Event::EmailChanged(e) => self.changed(|customer| {
                customer.email = e.email.clone();
                customer.email_key = e.email_key.clone();
                customer.email_verified = false;
            }),
            Event::EmailVerified(e) => self.changed(|customer| {
                customer.email_verified = customer.email_key == e.email_key;
            }),
            Event::RoleChanged(e) => self.changed(|customer| {
                customer.role = e.role;
                customer.partner_id = e.partner_id;
            }),
            Event::AvatarChanged(e) => {
                self.changed(|customer| customer.avatar = Some(e.digest.clone()))
            }
            Event::ChannelsChosen(e) => self.changed(|customer| {
                customer.channels_off = e.off.clone();
                customer.quiet_hours = e.quiet_hours.clone();
            }),
            Event::PushTokenDropped(_) => self.changed(|customer| customer.push_token = None),
            Event::Deactivated(_) => match self {
                Self::Added(customer) | Self::Deactivated(customer) => Self::Deactivated(customer),
                Self::NotAdded | Self::Erased => self,
            },
            Event::Erased(_) => Self::Erased,
        }
    }
}
