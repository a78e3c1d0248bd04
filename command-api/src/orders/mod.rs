//! Orders: what they would cost, placing them, calling them off, and their way to the customer.

mod assign;
mod cancel;
mod check;
mod deliver;
mod place;
mod pricing;
pub(crate) mod quote;
pub(crate) mod ready;
mod under_way;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use domain::order::{Command as Wanted, Line, Order};
use event_store::{Stop, Work};
use service_kit::{Access, ApiRouter, Role, routes};

use crate::door::Door;
use crate::fields::MoneyBody;
use crate::if_match::IfMatch;
use crate::problem::Refusal;

/// The routes of this area.
pub(crate) fn register(api: ApiRouter<Door>) -> ApiRouter<Door> {
    const CUSTOMER: Access = Access::Roles(&[Role::Customer]);
    const CUSTOMER_OR_ADMIN: Access = Access::Roles(&[Role::Customer, Role::Admin]);
    const PARTNER_OR_ADMIN: Access = Access::Roles(&[Role::Partner, Role::Admin]);
    const DELIVERER: Access = Access::Roles(&[Role::Deliverer]);
    api.routes(CUSTOMER, routes!(check::check_order))
        .routes(CUSTOMER, routes!(place::place_order))
        .routes(CUSTOMER_OR_ADMIN, routes!(cancel::cancel_order))
        .routes(PARTNER_OR_ADMIN, routes!(ready::make_order_ready))
        .routes(DELIVERER, routes!(assign::assign_order))
        .routes(DELIVERER, routes!(deliver::deliver_order))
}

fn no_such_order() -> Stop<Refusal> {
    Stop::rejected(Refusal::not_found("there is no such order"))
}

/// Decides the next step of an order's life. What is already true is true whatever the caller has seen of it, so that a
/// repeat is answered as the first time; a step that is taken now must be taken on the version that he names.
fn advance(
    work: &mut Work,
    id: Uuid,
    wanted: Wanted,
    if_match: &IfMatch,
) -> Result<(), Stop<Refusal>> {
    let before = work.version::<Order>(id)?;
    if work.decide::<Order>(id, wanted)? > 0 {
        if_match.check(before).map_err(Stop::rejected)?;
    }
    Ok(())
}

/// One product of an order, with the prices of the moment it was quoted.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OrderLine)]
pub(crate) struct LineBody {
    product_id: Uuid,
    sku: String,
    name: String,
    quantity: u32,
    unit_price: MoneyBody,
    total: MoneyBody,
}

impl From<&Line> for LineBody {
    fn from(line: &Line) -> Self {
        Self {
            product_id: line.product_id.uuid(),
            sku: line.sku.clone(),
            name: line.name.clone(),
            quantity: line.quantity,
            unit_price: line.unit_price.into(),
            total: line.total.into(),
        }
    }
}
