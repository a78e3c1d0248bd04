//! Orders: what they would cost, placing them, and calling them off.

mod cancel;
mod check;
mod place;
mod pricing;
pub(crate) mod quote;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use domain::order::Line;
use service_kit::{Access, ApiRouter, Role, routes};

use crate::door::Door;
use crate::fields::MoneyBody;

/// The routes of this area.
pub(crate) fn register(api: ApiRouter<Door>) -> ApiRouter<Door> {
    const CUSTOMER: Access = Access::Roles(&[Role::Customer]);
    const CUSTOMER_OR_ADMIN: Access = Access::Roles(&[Role::Customer, Role::Admin]);
    api.routes(CUSTOMER, routes!(check::check_order))
        .routes(CUSTOMER, routes!(place::place_order))
        .routes(CUSTOMER_OR_ADMIN, routes!(cancel::cancel_order))
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
