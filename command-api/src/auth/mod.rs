//! Signing up, signing in and out, and proving who one is. What people sign in with lies in the vault; that a customer
//! exists, and which address is his, are events.
//!
//! Nobody can tell from an answer, or from how long it takes, whether an address belongs to a customer, but for
//! registering, which has to say that it is taken.

mod account;
mod change_password;
mod first_admin;
mod forgot_password;
mod limits;
mod login;
mod logout;
pub(crate) mod mails;
mod pace;
mod refresh;
mod register;
mod reset_password;
mod tokens;
mod upkeep;
mod verify_email;

use service_kit::{Access, ApiRouter, routes};

use crate::door::Door;

pub(crate) use first_admin::ensure;
pub(crate) use upkeep::run as keep_up;

/// The routes of this area.
pub(crate) fn register(api: ApiRouter<Door>) -> ApiRouter<Door> {
    api.routes(Access::Public, routes!(register::register_account))
        .routes(Access::Public, routes!(login::login))
        .routes(Access::Public, routes!(refresh::refresh))
        .routes(Access::Public, routes!(logout::logout))
        .routes(Access::Public, routes!(verify_email::verify_email))
        .routes(Access::Public, routes!(verify_email::send_verification))
        .routes(Access::Public, routes!(forgot_password::forgot_password))
        .routes(Access::Public, routes!(reset_password::reset_password))
        .routes(
            Access::Authenticated,
            routes!(change_password::change_password),
        )
}
