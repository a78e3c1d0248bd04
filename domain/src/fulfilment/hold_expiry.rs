//! The time of an order's hold is over. It ends by its saga's word alone, in one batch with it, so that a commit never
//! finds it gone: past the point of no return the expiry is a no-op, and whatever else runs puts the hold back itself.

use event_schema::inventory::ReleaseCause;
use event_schema::order::CancelReason;

use super::draft::Draft;
use super::{Rejection, Stage};
use crate::inventory;

pub(super) fn passed(draft: &mut Draft<'_>) -> Result<(), Rejection> {
    match &draft.saga.stage {
        // The units are being paid for.
        Stage::Running if draft.saga.is_past_no_return() => Ok(()),
        Stage::Running => match release_expired(draft)? {
            true => {
                let detail = "the time of its hold was over";
                draft.unwind(CancelReason::PaymentExpired, Some(detail))
            }
            false => Ok(()),
        },
        // Nobody else sees to a hold that outlives its saga, and nobody else may.
        Stage::Unwinding(_) | Stage::Completed | Stage::Compensated { .. } | Stage::Closed(_) => {
            release_expired(draft).map(|_| ())
        }
    }
}

/// Puts back what the order still holds although its time is over; whether there was anything.
fn release_expired(draft: &mut Draft<'_>) -> Result<bool, Rejection> {
    let (order_id, now) = (draft.world.order_id, draft.now);
    let mut any = false;
    let refused = draft.stock_by_line(|_, stock| {
        let hold = stock.holds.get(&order_id)?;
        let expired = hold.expires_at <= now;
        any |= expired;
        expired.then_some(inventory::Release {
            order_id,
            cause: ReleaseCause::Expired,
        })
    })?;
    match refused.into_iter().next() {
        None => Ok(any),
        Some((line, rejection)) => Err(Rejection::Stock {
            product_id: line.product_id,
            rejection,
        }),
    }
}
