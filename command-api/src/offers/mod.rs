//! Offers: one partner's price for one product.

mod remove;
mod set;

use service_kit::{Access, ApiRouter, Caller, Problem, Role, routes};
use uuid::Uuid;

use crate::door::Door;

const ADMIN_OR_PARTNER: Access = Access::Roles(&[Role::Admin, Role::Partner]);

/// The routes of this area.
pub(crate) fn register(api: ApiRouter<Door>) -> ApiRouter<Door> {
    api.routes(ADMIN_OR_PARTNER, routes!(set::set_offer))
        .routes(ADMIN_OR_PARTNER, routes!(remove::remove_offer))
}

/// An admin may set any partner's prices, a partner his own; for everybody else the partner does not exist.
fn own(caller: &Caller, partner: Uuid) -> Result<(), Problem> {
    if caller.is(Role::Admin) || caller.partner_id() == Some(partner) {
        Ok(())
    } else {
        Err(Problem::not_found("there is no such partner"))
    }
}
