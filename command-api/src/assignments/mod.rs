//! Which customer has which cloud resource. A pair is an aggregate of its own, so it is there once or not at all.

mod assign;
mod unassign;

use service_kit::{Access, ApiRouter, Role, routes};

use crate::door::Door;

const ADMIN: Access = Access::Roles(&[Role::Admin]);

/// The routes of this area.
pub(crate) fn register(api: ApiRouter<Door>) -> ApiRouter<Door> {
    api.routes(ADMIN, routes!(assign::assign_resource))
        .routes(ADMIN, routes!(unassign::unassign_resource))
}
