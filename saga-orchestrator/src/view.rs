//! A saga as it is shown, read from its history and its payment's.

use std::sync::Arc;

use domain::fulfilment::{self, Fulfilment, Status, view};
use domain::payment::{self, Payment};
use event_schema::{Money, Position, Timestamp, Version};
use event_store::{Executor, Freshness, LoadError};
use uuid::Uuid;

use crate::status::{MoneyStatus, OutsideStatus, SagaStatus, StepStatus, StockStatus, Verdict};

/// A saga with what it was read from.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) shown: SagaStatus,
    pub(crate) version: Version,
    pub(crate) saga: Arc<fulfilment::State>,
    pub(crate) payment: Arc<payment::State>,
}

/// A saga as fresh as wanted; `None` when the order has none.
pub(crate) async fn load(
    executor: &Executor,
    order: Uuid,
    freshness: Freshness,
) -> Result<Option<Seen>, LoadError> {
    let saga = executor.load::<Fulfilment>(order, freshness).await?;
    let Some(position) = saga.position else {
        return Ok(None);
    };
    let payment = executor.load::<Payment>(order, freshness).await?;
    let last = executor.store().at(position).await?;
    let as_of = last.map_or(Timestamp::UNIX_EPOCH, |event| event.metadata.occurred_at);
    let shown = show(order, &saga.state, &payment.state, position, as_of);
    Ok(shown.map(|shown| Seen {
        shown,
        version: saga.version,
        saga: saga.state,
        payment: payment.state,
    }))
}

/// What is shown of these states; `as_of` is when the saga's last event happened.
pub(crate) fn show(
    order: Uuid,
    saga: &fulfilment::State,
    payment: &payment::State,
    position: Position,
    as_of: Timestamp,
) -> Option<SagaStatus> {
    let view = view(saga, payment)?;
    let total = saga.saga()?.total;
    let none = Money::zero(total.currency);
    let money = view.money.map_or(
        MoneyStatus {
            authorised: none,
            captured: none,
            refunded: none,
            outside: None,
        },
        |ledger| MoneyStatus {
            authorised: ledger.authorised,
            captured: ledger.captured,
            refunded: ledger.refunded,
            outside: None,
        },
    );
    let outside = payment.outside().map(|outside| OutsideStatus {
        received: outside.received,
        returned: outside.returned,
    });
    let money = MoneyStatus {
        outside: outside.filter(|outside| outside.received != none || outside.returned != none),
        ..money
    };
    // What went wrong last, for a saga that needs nobody: the step's own words.
    let last_detail = || view.steps.iter().rev().find_map(|step| step.detail.clone());
    Some(SagaStatus {
        status: verdict(view.status),
        step: view.step,
        cause: view.cause,
        since: as_of,
        id: order,
        position: position.0,
        deadline: view.deadline,
        reason: view.reason.map(|reason| reason.as_str().to_owned()),
        detail: view
            .cause_detail
            .clone()
            .or(view.closed_because.clone())
            .or_else(last_detail),
        left_due: view.left_due.clone(),
        def: Some(view.def.to_string()),
        steps: view
            .steps
            .iter()
            .map(|step| StepStatus {
                step: step.step,
                state: step.state.to_owned(),
                tries: step.tries,
                outcome: step.outcome.map(|outcome| outcome.as_str().to_owned()),
                effect_id: step.effect_id,
            })
            .collect(),
        money,
        stock: view
            .stock
            .iter()
            .map(|line| StockStatus {
                product_id: line.product_id,
                quantity: line.quantity,
                held: line.held,
                sold: line.sold,
            })
            .collect(),
        read_by: None,
    })
}

fn verdict(status: Status) -> Verdict {
    match status {
        Status::Running => Verdict::Running,
        Status::Unwinding => Verdict::Unwinding,
        Status::NeedsOperator => Verdict::NeedsOperator,
        Status::Completed => Verdict::Completed,
        Status::Compensated => Verdict::Compensated,
        Status::Closed => Verdict::Closed,
    }
}
