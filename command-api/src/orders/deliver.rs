//! POST /v1/orders/{id}/deliver: the deliverer has handed the order over.

use axum::extract::State;
use uuid::Uuid;

use domain::order::{Command as Wanted, Deliver, Order};
use event_schema::ids::DelivererId;
use event_store::Work;
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem};

use super::under_way::UnderWay;
use crate::answer::Answer;
use crate::documents::{
    CommandProblems, IfMatchOptional, Invalid, KeyOptional, NotFound, OrderStale,
};
use crate::door::Door;
use crate::if_match::IfMatch;

/// Says that the customer has the order. Only who took it can; saying it again changes nothing.
#[utoipa::path(
    post,
    path = "/v1/orders/{id}/deliver",
    tag = "orders",
    operation_id = "deliver_order",
    params(("id" = Uuid, Path, description = "The order"), KeyOptional, IfMatchOptional),
    responses(
        (status = 200, description = "The customer has the order", body = UnderWay, headers(
            ("ETag" = String, description = "The order's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        ), example = json!({"id": "019a2b3c-0000-7000-8000-000000000001", "order_id":
            "019a2b3c-0000-7000-8000-000000000001", "status": "delivered", "pickup_address":
            "1 Main Street, back door", "deliverer_id": "019a2b3c-0000-7000-8000-000000000002"})),
        (status = 409, description = "`not_taken`: nobody has taken it yet; `called_off`", body = Problem,
            content_type = "application/problem+json"),
        NotFound, OrderStale, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn deliver_order(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
) -> Result<Answer<UnderWay>, Problem> {
    // Delivered is delivered for good, so a repeat needs no record: the state says that it is already true.
    let command = door.command("orders.deliver", &caller, key.as_ref(), &id)?;
    let deliverer_id = DelivererId(caller.subject);
    let decide = |work: &mut Work| {
        let order = work.state::<Order>(id)?;
        // What somebody else brings is none of his business.
        if order.deliverer().is_some_and(|taker| taker != deliverer_id) {
            return Err(super::no_such_order());
        }
        super::advance(
            work,
            id,
            Wanted::Deliver(Deliver { deliverer_id }),
            &if_match,
        )?;
        let order = work.state::<Order>(id)?;
        let body = UnderWay::delivered(id, &order, caller.subject);
        Ok((body, work.version::<Order>(id)?))
    };
    let executed = door.execute(&command, decide).await?;
    let (body, version) = executed.value;
    Ok(Answer::ok(body).at(executed.position).version(version))
}
