//! POST /v1/orders/{id}/cancel: the owner or an admin calls an order off, until its money is being taken.
//!
//! Cancelling is an input of the order's saga: everything that it leads to at once goes into one group over the saga, the
//! order, the payment and the stock, so that cancelling, expiry and capture have one winner.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use domain::fulfilment::{self, Fulfilment, Input, Policy, Rejection, World};
use domain::inventory::{self, Inventory};
use domain::order::{CancelReason, Details, Order};
use domain::payment::Payment;
use event_schema::ids::{CustomerId, OrderId, ProductId};
use event_schema::{Timestamp, Version};
use event_store::{Stop, Work};
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem, Role};

use crate::answer::Answer;
use crate::documents::{
    CommandProblems, IfMatchOptional, Invalid, KeyOptional, NotFound, OrderStale,
};
use crate::door::Door;
use crate::if_match::IfMatch;
use crate::problem::Refusal;

/// An order that is being called off.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct CancellingOrder {
    id: Uuid,
    /// The same as `id`, as others call it.
    order_id: Uuid,
    /// What was done is being put back; `GET /v1/orders/{id}` tells when all is.
    #[schema(example = "cancelling")]
    status: &'static str,
    #[schema(example = "customer_cancelled")]
    status_reason: &'static str,
}

/// Calls an order off.
#[utoipa::path(
    post,
    path = "/v1/orders/{id}/cancel",
    tag = "orders",
    operation_id = "cancel_order",
    params(("id" = Uuid, Path, description = "The order"), KeyOptional, IfMatchOptional),
    responses(
        (status = 202, description = "The order is called off, now or before; putting back goes on in the background",
            body = CancellingOrder, headers(
            ("Location" = String, description = "Where the order is"),
            ("ETag" = String, description = "The order's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        (status = 409, description = "`too_late`: the money is being taken, or was", body = Problem,
            content_type = "application/problem+json"),
        NotFound, OrderStale, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn cancel_order(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
) -> Result<Answer<CancellingOrder>, Problem> {
    // Called off is called off for good, so a repeat needs no record: the state says that it is already true.
    let command = door.command("orders.cancel", &caller, key.as_ref(), &id)?;
    let now = command.metadata.occurred_at;
    let decide = |work: &mut Work| {
        let before = work.version::<Order>(id)?;
        let (reason, version) = cancel(work, &caller, OrderId(id), now, &door.policy)?;
        // An order that was called off before stays so, whatever the caller has seen of it.
        if version != before {
            if_match.check(before).map_err(Stop::rejected)?;
        }
        Ok((reason, version))
    };
    let executed = door.execute(&command, decide).await?;
    let (reason, version) = executed.value;
    let body = CancellingOrder {
        id,
        order_id: id,
        status: "cancelling",
        status_reason: reason.as_str(),
    };
    Ok(Answer::accepted(format!("/v1/orders/{id}"), body)
        .at(executed.position)
        .version(version))
}

fn cancel(
    work: &mut Work,
    caller: &Caller,
    id: OrderId,
    now: Timestamp,
    policy: &Policy,
) -> Result<(CancelReason, Version), Stop<Refusal>> {
    work.prefetch::<Payment>(&[id.uuid()]);
    work.prefetch::<Fulfilment>(&[id.uuid()]);
    let order = work.state::<Order>(id.uuid())?;
    let details = order.details().ok_or_else(super::no_such_order)?;
    let is_his = caller.is(Role::Customer) && details.customer_id == CustomerId(caller.subject);
    let reason = match (is_his, caller.is(Role::Admin)) {
        (true, _) => CancelReason::CustomerCancelled,
        (false, true) => CancelReason::OperatorAborted,
        (false, false) => return Err(super::no_such_order()),
    };
    let saga = work.state::<Fulfilment>(id.uuid())?;
    let payment = work.state::<Payment>(id.uuid())?;
    let input = Input::CancelRequested {
        reason,
        detail: None,
    };
    let called_off = |stock: &BTreeMap<ProductId, inventory::State>| {
        let world = World {
            order_id: id,
            saga: &saga,
            order: &order,
            payment: &payment,
            stock,
        };
        fulfilment::react(&world, input.clone(), now, policy)
    };
    // An order that can be called off seldom holds any stock, and stock that many buy changes all the time: what is read
    // here has to be unchanged when the group is appended, so it is read only if it is needed.
    let decision = match called_off(&BTreeMap::new()) {
        Err(Rejection::StockNotLoaded { .. }) => called_off(&stock_of(work, details)?),
        decided => decided,
    };
    let decision = decision.map_err(Stop::rejected)?;
    for (product, events) in decision.stock {
        work.record::<Inventory>(product.uuid(), events)?;
    }
    work.record::<Payment>(id.uuid(), decision.payment)?;
    work.record::<Order>(id.uuid(), decision.order)?;
    work.record::<Fulfilment>(id.uuid(), decision.saga)?;
    let order = work.state::<Order>(id.uuid())?;
    // An order that was called off before keeps the reason it was called off for.
    let reason = order.call_off().map_or(reason, |call_off| call_off.reason);
    Ok((reason, work.version::<Order>(id.uuid())?))
}

fn stock_of(
    work: &mut Work,
    order: &Details,
) -> Result<BTreeMap<ProductId, inventory::State>, Stop<Refusal>> {
    let products: Vec<ProductId> = order.lines.iter().map(|line| line.product_id).collect();
    let ids: Vec<Uuid> = products.iter().map(|product| product.uuid()).collect();
    let stock = work.states::<Inventory>(&ids)?;
    Ok(products
        .into_iter()
        .zip(stock.iter().map(|state| (**state).clone()))
        .collect())
}
