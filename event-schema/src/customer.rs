//! What can happen to a customer. Personal data is sealed from the first event on.

use serde::{Deserialize, Serialize};

use crate::event_set::event_set;
use crate::ids::PartnerId;
use crate::notification::{Channel, QuietHours};
use crate::sealed::Sealed;

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Buys.
    Customer,
    /// Carries orders.
    Deliverer,
    /// Sells.
    Partner,
    /// Runs the shop.
    Admin,
}

/// A customer exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Added {
    /// Full name.
    pub name: Sealed<String>,
    /// E-mail address as given.
    pub email: Sealed<String>,
    /// Keyed hash of the normalised address: the key of the uniqueness record.
    pub email_key: String,
    /// What the person may do.
    pub role: Role,
}

/// What is known of the person changed; each field holds the value that counts from now on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileChanged {
    /// Full name.
    pub name: Sealed<String>,
    /// Telephone number.
    pub phone: Option<Sealed<String>>,
    /// Day of birth, as `YYYY-MM-DD`.
    pub birth_date: Option<Sealed<String>>,
    /// Where pushed messages reach the person's device.
    pub push_token: Option<Sealed<String>>,
}

/// The person has another e-mail address, not verified yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmailChanged {
    /// E-mail address as given.
    pub email: Sealed<String>,
    /// Keyed hash of the normalised address.
    pub email_key: String,
}

/// The person can read what is sent to the address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailVerified {
    /// Keyed hash of the address that was verified.
    pub email_key: String,
}

/// The person may do something else from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleChanged {
    /// What the person may do.
    pub role: Role,
    /// Whom a partner's person acts for; none for every other role.
    pub partner_id: Option<PartnerId>,
}

/// The person has another picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvatarChanged {
    /// SHA-256 of the stored file in hex: its name.
    pub digest: String,
    /// What the file is, such as `image/webp`.
    pub media_type: String,
}

/// The account is closed; nobody signs in with it any more, what it did stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deactivated {}

/// The person's data is unreadable from now on; the address is free again, what the account did stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {}

/// The person wants to be told things in this way from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelsChosen {
    /// Ways by which the person is told nothing.
    pub off: Vec<Channel>,
    /// When the person is left alone.
    pub quiet_hours: Option<QuietHours>,
}

/// The device is not reached by the token any more, as the push service says; the person has none until he gives another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushTokenDropped {}

event_set! {
    /// A customer's events.
    pub enum Event of "customer" {
        /// A customer exists.
        "customer.added" 1 => Added(Added),
        /// What is known of the person changed.
        "customer.profile_changed" 1 => ProfileChanged(ProfileChanged),
        /// The person has another e-mail address.
        "customer.email_changed" 1 => EmailChanged(EmailChanged),
        /// The address is the person's.
        "customer.email_verified" 1 => EmailVerified(EmailVerified),
        /// The person may do something else.
        "customer.role_changed" 1 => RoleChanged(RoleChanged),
        /// The person has another picture.
        "customer.avatar_changed" 1 => AvatarChanged(AvatarChanged),
        /// The account is closed.
        "customer.deactivated" 1 => Deactivated(Deactivated),
        /// The person's data is unreadable.
        "customer.erased" 1 => Erased(Erased),
        /// How the person wants to be told things.
        "customer.channels_chosen" 1 => ChannelsChosen(ChannelsChosen),
        /// The device is not reached any more.
        "customer.push_token_dropped" 1 => PushTokenDropped(PushTokenDropped),
    }
    upcasts []
}
