//! Inventory: units arrive, counts are corrected, and what counts as low is set.

mod adjust;
mod receive;
mod threshold;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use domain::inventory::State;
use domain::offer::Offer;
use domain::product::Product;
use event_schema::ids::{PartnerId, ProductId};
use event_schema::offer;
use event_store::{Stop, Work};
use service_kit::{Access, ApiRouter, Caller, Role, routes};

use crate::door::Door;
use crate::problem::Refusal;

const ADMIN_OR_PARTNER: Access = Access::Roles(&[Role::Admin, Role::Partner]);

/// The routes of this area.
pub(crate) fn register(api: ApiRouter<Door>) -> ApiRouter<Door> {
    api.routes(ADMIN_OR_PARTNER, routes!(receive::receive_stock))
        .routes(ADMIN_OR_PARTNER, routes!(adjust::adjust_stock))
        .routes(ADMIN_OR_PARTNER, routes!(threshold::set_threshold))
}

/// The stock of one product: received = available + held + sold.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = StockAnswer)]
pub(crate) struct StockBody {
    product_id: Uuid,
    /// Units that ever arrived, corrected by adjustments.
    received: u64,
    /// Units that can be sold.
    available: u64,
    /// Units put aside for orders.
    held: u64,
    /// Units sold.
    sold: u64,
    low_stock_threshold: u32,
    /// Whether at most so many units are available.
    low: bool,
}

impl StockBody {
    fn of(product_id: Uuid, state: &State) -> Self {
        let State {
            received,
            available,
            held,
            sold,
            low_stock_threshold,
            ..
        } = state;
        Self {
            product_id,
            received: *received,
            available: *available,
            held: *held,
            sold: *sold,
            low_stock_threshold: *low_stock_threshold,
            low: state.low(),
        }
    }
}

/// An admin looks after every stock; a partner after that of his own products, and of the shop's products that he
/// offers. For everybody else the product does not exist.
fn looked_after_by(
    caller: &Caller,
    work: &mut Work,
    product_id: Uuid,
) -> Result<(), Stop<Refusal>> {
    let no_such_product = || Stop::rejected(Refusal::not_found("there is no such product"));
    let product = work.state::<Product>(product_id)?;
    let (identity, _) = product.current().ok_or_else(no_such_product)?;
    if caller.is(Role::Admin) {
        return Ok(());
    }
    let partner = caller
        .partner_id()
        .map(PartnerId)
        .ok_or_else(no_such_product)?;
    let his = match identity.partner_id {
        Some(seller) => seller == partner,
        None => work
            .state::<Offer>(offer::id(partner, ProductId(product_id)))?
            .offered()
            .is_some(),
    };
    if his { Ok(()) } else { Err(no_such_product()) }
}
