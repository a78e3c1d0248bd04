//! Customers: people with a role. Their personal data is sealed before it goes anywhere.

mod add;

use service_kit::{Access, ApiRouter, Role, routes};

use crate::door::Door;

/// The routes of this area.
pub(crate) fn register(api: ApiRouter<Door>) -> ApiRouter<Door> {
    api.routes(Access::Roles(&[Role::Admin]), routes!(add::add_customer))
}
