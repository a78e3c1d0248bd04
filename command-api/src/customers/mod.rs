//! Customers: people with a role. Their personal data is sealed before it goes anywhere.

mod add;
mod change;
pub(crate) mod close;
pub(crate) mod edit;
mod remove;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use domain::customer::Details;
use event_schema::PersonalKey;
use event_schema::customer::Role as StoredRole;
use event_schema::notification::Channel;
use service_kit::{Access, ApiRouter, Problem, Role, routes};

use crate::door::Door;
use crate::fields::QuietHoursBody;

/// The rule that an address belongs to one customer.
pub(crate) const EMAIL_RULE: &str = "email";
const ADMIN: Access = Access::Roles(&[Role::Admin]);

/// The routes of this area.
pub(crate) fn register(api: ApiRouter<Door>) -> ApiRouter<Door> {
    api.routes(ADMIN, routes!(add::add_customer))
        .routes(ADMIN, routes!(change::change_customer))
        .routes(ADMIN, routes!(remove::remove_customer))
}

/// A customer with everything that he may know of himself.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AccountAnswer)]
pub(crate) struct AccountBody {
    pub(crate) id: Uuid,
    /// Full name.
    pub(crate) name: String,
    /// E-mail address.
    pub(crate) email: String,
    /// Whether the person showed that the address is his.
    pub(crate) email_verified: bool,
    /// What the person may do.
    pub(crate) role: Role,
    /// Whom a partner's person acts for.
    pub(crate) partner_id: Option<Uuid>,
    /// Telephone number.
    pub(crate) phone: Option<String>,
    /// Day of birth.
    pub(crate) birth_date: Option<String>,
    /// By which ways the person is told things.
    pub(crate) notification_channels: Channels,
    /// When the person is left alone.
    pub(crate) quiet_hours: Option<QuietHoursBody>,
}

/// By which ways a person is told things; the inbox has everything anyhow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = NotificationChannels)]
pub(crate) struct Channels {
    /// By e-mail.
    email: bool,
    /// By text message.
    sms: bool,
    /// Pushed to the device.
    push: bool,
}

impl Channels {
    /// Who has chosen nothing is told by every way.
    pub(crate) const ALL: Self = Self {
        email: true,
        sms: true,
        push: true,
    };

    fn without(off: &[Channel]) -> Self {
        let on = |channel| !off.contains(&channel);
        Self {
            email: on(Channel::Email),
            sms: on(Channel::Sms),
            push: on(Channel::Push),
        }
    }
}

impl AccountBody {
    /// The customer as he is, opened with his own key.
    fn open(id: Uuid, details: &Details, key: &PersonalKey) -> Result<Self, Problem> {
        let broken = |error| Problem::unexpected(&error);
        let open = |sealed: &event_schema::Sealed<String>| sealed.open(Some(key)).map_err(broken);
        let optional =
            |sealed: &Option<event_schema::Sealed<String>>| sealed.as_ref().map_or(Ok(None), open);
        Ok(Self {
            id,
            name: open(&details.name)?.unwrap_or_default(),
            email: open(&details.email)?.unwrap_or_default(),
            email_verified: details.email_verified,
            role: role_of(details.role),
            partner_id: details.partner_id.map(|partner| partner.0),
            phone: optional(&details.phone)?,
            birth_date: optional(&details.birth_date)?,
            notification_channels: Channels::without(&details.channels_off),
            quiet_hours: details.quiet_hours.clone().map(QuietHoursBody::from),
        })
    }
}

/// A role as the log has it.
pub(crate) fn stored(role: Role) -> StoredRole {
    match role {
        Role::Customer => StoredRole::Customer,
        Role::Deliverer => StoredRole::Deliverer,
        Role::Partner => StoredRole::Partner,
        Role::Admin => StoredRole::Admin,
    }
}

/// A stored role as callers have it.
pub(crate) fn role_of(role: StoredRole) -> Role {
    match role {
        StoredRole::Customer => Role::Customer,
        StoredRole::Deliverer => Role::Deliverer,
        StoredRole::Partner => Role::Partner,
        StoredRole::Admin => Role::Admin,
    }
}
