//! POST /v1/orders/{id}/ready: the partner has prepared the order, and says where it is picked up.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use domain::order::{Command as Wanted, Event, MakeReady, Order};
use event_schema::ids::PartnerId;
use event_schema::{EventSet, Subject, Version};
use event_store::{Stop, Work};
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem, Role, Validation};

use super::under_way::UnderWay;
use crate::answer::Answer;
use crate::body::Fields;
use crate::documents::{
    CommandProblems, IfMatchOptional, Invalid, KeyOptional, NotFound, OrderStale,
};
use crate::door::Door;
use crate::fields;
use crate::if_match::IfMatch;
use crate::problem::Refusal;

/// The order is prepared.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct MakeOrderReady {
    /// Where a deliverer picks it up; the first one told counts.
    #[schema(max_length = 500, example = "1 Main Street, back door")]
    pickup_address: String,
}

/// Says that an order is prepared. Telling it again changes nothing.
#[utoipa::path(
    post,
    path = "/v1/orders/{id}/ready",
    tag = "orders",
    operation_id = "make_order_ready",
    params(("id" = Uuid, Path, description = "The order"), KeyOptional, IfMatchOptional),
    request_body = MakeOrderReady,
    responses(
        (status = 200, description = "The order waits for a deliverer, or did before", body = UnderWay, headers(
            ("ETag" = String, description = "The order's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        ), example = json!({"id": "019a2b3c-0000-7000-8000-000000000001", "order_id":
            "019a2b3c-0000-7000-8000-000000000001", "status": "ready", "pickup_address": "1 Main Street, back door"})),
        (status = 409, description = "`not_confirmed`: it is not paid and in stock yet; `called_off`", body = Problem,
            content_type = "application/problem+json"),
        NotFound, OrderStale, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn make_order_ready(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
    Fields(body): Fields<MakeOrderReady>,
) -> Result<Answer<UnderWay>, Problem> {
    let mut validation = Validation::new();
    let pickup_address = fields::address(&mut validation, "/pickup_address", &body.pickup_address);
    validation.finish()?;
    // Prepared is prepared for good, so a repeat needs no record: the state says that it is already true.
    let content = (id, &pickup_address);
    let command = door.command("orders.ready", &caller, key.as_ref(), &content)?;
    let seller = if caller.is(Role::Admin) {
        Seller::Any
    } else {
        Seller::of(caller.partner_id())
    };
    let decide = |work: &mut Work| make_ready(work, id, seller, &pickup_address, &if_match);
    let executed = door.execute(&command, decide).await?;
    if !executed.appended && key.is_some() {
        let order = Subject::history(Event::AGGREGATE, id);
        door.not_reused(&command, &order).await?;
    }
    let (body, version) = executed.value;
    Ok(Answer::ok(body).at(executed.position).version(version))
}

/// Whose orders somebody may prepare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seller {
    /// Everybody's.
    Any,
    /// This partner's.
    Only(PartnerId),
    /// Nobody's.
    Nobody,
}

impl Seller {
    fn of(partner: Option<Uuid>) -> Self {
        partner.map_or(Self::Nobody, |id| Self::Only(PartnerId(id)))
    }

    fn sells(self, partner: PartnerId) -> bool {
        match self {
            Self::Any => true,
            Self::Only(own) => own == partner,
            Self::Nobody => false,
        }
    }
}

/// Prepares an order of this seller; somebody else's does not exist for him.
pub(crate) fn make_ready(
    work: &mut Work,
    id: Uuid,
    seller: Seller,
    pickup_address: &str,
    if_match: &IfMatch,
) -> Result<(UnderWay, Version), Stop<Refusal>> {
    let order = work.state::<Order>(id)?;
    let sells = order
        .details()
        .is_some_and(|details| seller.sells(details.partner_id));
    if !sells {
        return Err(super::no_such_order());
    }
    let ready = MakeReady {
        pickup_address: pickup_address.to_owned(),
    };
    super::advance(work, id, Wanted::MakeReady(ready), if_match)?;
    let order = work.state::<Order>(id)?;
    let version = work.version::<Order>(id)?;
    Ok((UnderWay::ready(id, &order), version))
}
