//! The caller's own inbox: a notification is read or cleared, or all of them are. Everybody has one, under his own id; what
//! is for several people is read and cleared by each for himself.

mod clear;
mod clear_all;
mod read;
mod whose;

pub(crate) use whose::history_of;

use service_kit::{Access, ApiRouter, routes};

use crate::door::Door;

/// The routes of this area.
pub(crate) fn register(api: ApiRouter<Door>) -> ApiRouter<Door> {
    api.routes(Access::Authenticated, routes!(read::read_notification))
        .routes(Access::Authenticated, routes!(clear::clear_notification))
        .routes(
            Access::Authenticated,
            routes!(clear_all::clear_notifications),
        )
}
