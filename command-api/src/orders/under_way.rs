//! What preparing, taking and delivering an order are answered with.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use domain::order::State;

/// An order between the partner and the customer. A repeated command is answered as the first time;
/// `GET /v1/orders/{id}` and `GET /v1/deliveries` tell how it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OrderUnderWay)]
pub(crate) struct UnderWay {
    id: Uuid,
    /// The same as `id`, as others call it.
    order_id: Uuid,
    /// What the command made of it: `ready`, `delivering` or `delivered`.
    #[schema(example = "ready")]
    status: &'static str,
    /// Where it is picked up.
    #[schema(example = "1 Main Street, back door")]
    pickup_address: Option<String>,
    /// Who brings it; not before somebody took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    deliverer_id: Option<Uuid>,
}

impl UnderWay {
    /// It waits for a deliverer, or did.
    pub(crate) fn ready(id: Uuid, order: &State) -> Self {
        Self::new(id, order, "ready", None)
    }

    /// This one brings it, or did.
    pub(crate) fn delivering(id: Uuid, order: &State, deliverer: Uuid) -> Self {
        Self::new(id, order, "delivering", Some(deliverer))
    }

    /// This one has brought it.
    pub(crate) fn delivered(id: Uuid, order: &State, deliverer: Uuid) -> Self {
        Self::new(id, order, "delivered", Some(deliverer))
    }

    fn new(id: Uuid, order: &State, status: &'static str, deliverer_id: Option<Uuid>) -> Self {
        Self {
            id,
            order_id: id,
            status,
            pickup_address: order.pickup().map(|pickup| pickup.address.clone()),
            deliverer_id,
        }
    }
}
