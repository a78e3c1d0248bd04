//! Somebody calls the order off: possible until the capture's intent is recorded.

use event_schema::order::CancelReason;

use super::draft::Draft;
use super::{Rejection, Stage};

pub(super) fn requested(
    draft: &mut Draft<'_>,
    reason: CancelReason,
    detail: Option<String>,
) -> Result<(), Rejection> {
    match &draft.saga.stage {
        Stage::Completed => Err(Rejection::TooLate),
        Stage::Unwinding(_) | Stage::Compensated { .. } => Ok(()),
        Stage::Closed(_) if draft.world.order.call_off().is_some() => Ok(()),
        Stage::Closed(_) => Err(Rejection::TooLate),
        Stage::Running if draft.saga.is_past_no_return() => Err(Rejection::TooLate),
        // Whatever may still land is let go by the plan's void.
        Stage::Running => draft.unwind(reason, detail.as_deref()),
    }
}
