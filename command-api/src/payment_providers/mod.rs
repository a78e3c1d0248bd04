//! Payment providers in the shop's register: how they are shown, and whether new orders may use them. How a provider is
//! reached, and its secrets, are settings.

mod set;

use serde::Serialize;
use utoipa::ToSchema;

use domain::order::PaymentMethod;
use domain::payment_provider::PaymentProvider;
use event_schema::payment_provider;
use event_store::{Stop, Work};
use service_kit::{Access, ApiRouter, Role, routes};

use crate::door::Door;
use crate::problem::Refusal;

const ADMIN: Access = Access::Roles(&[Role::Admin]);

/// The routes of this area.
pub(crate) fn register(api: ApiRouter<Door>) -> ApiRouter<Door> {
    api.routes(ADMIN, routes!(set::set_payment_provider))
}

/// A payment provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PaymentProviderAnswer)]
pub(crate) struct ProviderBody {
    /// Its name in the API: `stripe` or `sandbox`.
    #[schema(example = "stripe")]
    id: String,
    /// Its name for people.
    #[schema(example = "Card")]
    title: String,
    /// Whether new orders may be paid with it.
    active: bool,
    /// Whether customers may pay on its hosted page.
    checkout: bool,
}

/// Refuses a new order that would be paid in a way that is switched off. A state that is only read: an order is placed
/// before the switch or after it, and never in between.
pub(crate) fn takes(
    work: &mut Work,
    provider: &str,
    method: &PaymentMethod,
) -> Result<(), Stop<Refusal>> {
    let on_hosted_page = *method == PaymentMethod::Checkout;
    let state = work.state::<PaymentProvider>(payment_provider::id(provider))?;
    if state.takes(on_hosted_page) {
        Ok(())
    } else {
        Err(Stop::rejected(Refusal::provider_inactive(
            provider,
            state.takes(false),
        )))
    }
}
