//! A person ends the saga as it is. What needs no provider is put back all the same; what stays due is named, and
//! nobody but people sees to it any more.

use event_schema::fulfilment as event;
use event_schema::order::CancelReason;

use super::waiting;
use crate::fulfilment::draft::Draft;
use crate::fulfilment::{Rejection, Stage};

pub(super) fn decide(
    draft: &mut Draft<'_>,
    ordered: event::OperatorCommanded,
) -> Result<(), Rejection> {
    waiting(draft, None)?;
    let reason = ordered.reason.clone();
    draft.accept(ordered);
    if matches!(draft.saga.stage, Stage::Running) {
        // The customer reads why an order was called off; the operator's words are not meant for that.
        draft.begin_unwinding(CancelReason::OperatorAborted, None)?;
    }
    draft.put_back_inside()?;
    let left_due = draft.saga.due();
    draft.close(left_due, reason);
    Ok(())
}
