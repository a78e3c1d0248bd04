//! Partners: the sellers, their business data and their flags.

mod add;
mod change;
mod flags;
mod webhook_secret;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use domain::partner::{Profile, State};
use service_kit::{Access, ApiRouter, Role, Validation, routes};

use crate::door::Door;
use crate::fields::{self, NAME_CHARS_MAX};

const ADMIN: Access = Access::Roles(&[Role::Admin]);

/// The routes of this area.
pub(crate) fn register(api: ApiRouter<Door>) -> ApiRouter<Door> {
    api.routes(ADMIN, routes!(add::add_partner))
        .routes(ADMIN, routes!(change::change_partner))
        .routes(ADMIN, routes!(flags::verify_partner))
        .routes(ADMIN, routes!(flags::enable_partner))
        .routes(ADMIN, routes!(flags::disable_partner))
        .routes(ADMIN, routes!(webhook_secret::rotate_webhook_secret))
}

/// A partner.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = PartnerAnswer)]
pub(crate) struct PartnerBody {
    id: Uuid,
    title: String,
    brand: String,
    phone: String,
    email: String,
    address: String,
    webhook_url: Option<String>,
    /// Somebody looked, and the business is what it says.
    verified: bool,
    /// It sells; what it offers can be bought while it is verified too.
    enabled: bool,
    /// Why nothing is sent to `webhook_url` any more, as a short code: the partner's system said that it is gone. Enabling
    /// the partner, or changing its data, makes it tried again.
    webhook_disabled: Option<String>,
    /// The secret that messages to `webhook_url` are signed with; only in the answer to the command that added it.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_secret: Option<String>,
}

impl PartnerBody {
    fn new(id: Uuid, profile: Profile, verified: bool, enabled: bool) -> Self {
        let Profile {
            title,
            brand,
            phone,
            email,
            address,
            webhook_url,
        } = profile;
        Self {
            id,
            title,
            brand,
            phone,
            email,
            address,
            webhook_url,
            verified,
            enabled,
            webhook_disabled: None,
            webhook_secret: None,
        }
    }

    fn of(id: Uuid, state: &State) -> Option<Self> {
        match state {
            State::NotAdded => None,
            State::Added {
                profile,
                verified,
                enabled,
                webhook_disabled,
            } => Some(Self {
                webhook_disabled: webhook_disabled.clone(),
                ..Self::new(id, profile.clone(), *verified, *enabled)
            }),
        }
    }
}

/// Business data with every field checked.
fn check(validation: &mut Validation, profile: &Profile) -> Profile {
    Profile {
        title: fields::line(validation, "/title", &profile.title, NAME_CHARS_MAX),
        brand: fields::line(validation, "/brand", &profile.brand, NAME_CHARS_MAX),
        phone: fields::phone(validation, "/phone", &profile.phone),
        email: fields::email(validation, "/email", &profile.email),
        address: fields::address(validation, "/address", &profile.address),
        webhook_url: fields::web_address(
            validation,
            "/webhook_url",
            profile.webhook_url.as_deref(),
        ),
    }
}
