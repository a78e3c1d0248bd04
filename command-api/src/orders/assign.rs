//! POST /v1/orders/{id}/assign: a deliverer takes a prepared order; of several who try at once, one does.

use axum::extract::State;
use uuid::Uuid;

use domain::order::{Assign, Command as Wanted, Order};
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

/// Takes an order: from now on the caller brings it, and nobody else. Taking it again changes nothing.
#[utoipa::path(
    post,
    path = "/v1/orders/{id}/assign",
    tag = "orders",
    operation_id = "assign_order",
    params(("id" = Uuid, Path, description = "The order"), KeyOptional, IfMatchOptional),
    responses(
        (status = 200, description = "The caller brings the order", body = UnderWay, headers(
            ("ETag" = String, description = "The order's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        ), example = json!({"id": "019a2b3c-0000-7000-8000-000000000001", "order_id":
            "019a2b3c-0000-7000-8000-000000000001", "status": "delivering", "pickup_address":
            "1 Main Street, back door", "deliverer_id": "019a2b3c-0000-7000-8000-000000000002"})),
        (status = 409, description = "`already_taken`: somebody else brings it; `not_ready`: it is not prepared yet; \
            `called_off`", body = Problem, content_type = "application/problem+json"),
        NotFound, OrderStale, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn assign_order(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
) -> Result<Answer<UnderWay>, Problem> {
    // Taken is taken for good, so a repeat needs no record: the state says that it is already true.
    let command = door.command("orders.assign", &caller, key.as_ref(), &id)?;
    let assign = Assign {
        deliverer_id: DelivererId(caller.subject),
    };
    let decide = |work: &mut Work| {
        super::advance(work, id, Wanted::Assign(assign), &if_match)?;
        let order = work.state::<Order>(id)?;
        let body = UnderWay::delivering(id, &order, caller.subject);
        Ok((body, work.version::<Order>(id)?))
    };
    let executed = door.execute(&command, decide).await?;
    let (body, version) = executed.value;
    Ok(Answer::ok(body).at(executed.position).version(version))
}
