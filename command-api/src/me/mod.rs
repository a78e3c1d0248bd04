//! What somebody does with his own account.

mod avatar;
mod change;
mod delete;

use service_kit::{Access, ApiRouter, routes};

use crate::door::Door;

/// The routes of this area.
pub(crate) fn register(api: ApiRouter<Door>) -> ApiRouter<Door> {
    api.routes(Access::Authenticated, routes!(change::change_me))
        .routes(Access::Authenticated, routes!(delete::delete_me))
        .routes(Access::Authenticated, routes!(avatar::set_avatar))
}
