//! The continuous check: each time a saga is looked at, whether its money balances; and when it has ended, whether it,
//! its order and its units agree. It costs what is at hand anyway, and for an ended saga a few states that its last batch
//! has left in the cache. `waybill audit` looks at the whole log.

use domain::fulfilment::audit::{Finding, balance_of, hold_of, money_of};
use domain::fulfilment::{Fulfilment, Saga};
use domain::inventory::Inventory;
use domain::order::Order;
use domain::payment::{self, Payment};
use event_schema::Position;
use event_schema::ids::OrderId;
use event_store::{Freshness, LoadError};
use uuid::Uuid;

use super::Context;

/// Looks at a saga as it stands at this position.
pub(super) async fn audit(
    context: &Context,
    order: Uuid,
    saga: &Saga,
    payment: &payment::State,
    position: Position,
) {
    let found = match seen(context, order, saga, payment, Freshness::Any).await {
        Ok(found) if found.is_empty() => found,
        // Several histories were read one after the other, and not from the leader: looked at again before it is said.
        Ok(_) => match confirmed(context, order, position).await {
            Ok(Some(found)) => found,
            // It went on meanwhile, and is looked at again for that.
            Ok(None) => return,
            Err(error) => return not_now(order, &error),
        },
        Err(error) => return not_now(order, &error),
    };
    let words = found.iter().map(Finding::code).collect();
    if context.board.audited(order, position, words) {
        for finding in &found {
            tracing::error!(order.id = %order, position = position.0, finding = finding.code(), "a saga does not balance: {finding}");
        }
    }
}

fn not_now(order: Uuid, error: &LoadError) {
    tracing::debug!(order.id = %order, %error, "a saga's balance could not be looked at; it is when the saga is next");
}

async fn seen(
    context: &Context,
    order: Uuid,
    saga: &Saga,
    payment: &payment::State,
    freshness: Freshness,
) -> Result<Vec<Finding>, LoadError> {
    let mut found = money_of(saga, payment);
    if !saga.has_ended() {
        return Ok(found);
    }
    let executor = &context.executor;
    let placed = executor.load::<Order>(order, freshness).await?;
    for finding in balance_of(saga, &placed.state, payment) {
        if !found.contains(&finding) {
            found.push(finding);
        }
    }
    for line in &saga.lines {
        let product = line.product_id;
        let stock = executor
            .load::<Inventory>(product.uuid(), freshness)
            .await?;
        found.extend(hold_of(OrderId(order), saga, product, &stock.state));
    }
    Ok(found)
}

/// The same from the leader; nothing if the saga does not stand there any more.
async fn confirmed(
    context: &Context,
    order: Uuid,
    position: Position,
) -> Result<Option<Vec<Finding>>, LoadError> {
    let (executor, leader) = (&context.executor, Freshness::Leader);
    let payment = executor.load::<Payment>(order, leader).await?;
    let before = executor.load::<Fulfilment>(order, leader).await?;
    let Some(saga) = before.state.saga() else {
        return Ok(None);
    };
    let found = seen(context, order, saga, &payment.state, leader).await?;
    let after = executor.load::<Fulfilment>(order, leader).await?;
    let stood_still = before.position == Some(position) && after.position == Some(position);
    Ok(stood_still.then_some(found))
}
