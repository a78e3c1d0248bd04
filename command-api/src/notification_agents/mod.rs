//! Agents: the settings by which messages leave the house. How a provider is reached, and its secrets, are settings of the
//! process.

mod set;

use service_kit::{Access, ApiRouter, Role, routes};

use crate::door::Door;

const ADMIN: Access = Access::Roles(&[Role::Admin]);

/// The routes of this area.
pub(crate) fn register(api: ApiRouter<Door>) -> ApiRouter<Door> {
    api.routes(ADMIN, routes!(set::set_notification_agent))
}
