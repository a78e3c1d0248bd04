//! The money is taken; in the same batch the held units are sold and the order is confirmed. Its recorded intent was
//! the point of no return, so only a refusal for good turns the saga back.

use event_schema::Money;
use event_schema::fulfilment::{Cause, Outcome, Step};
use event_schema::order::CancelReason;

use super::answer::{Answer, unfit, unsettled};
use super::attempt::asked_and_told;
use super::draft::{Draft, cut};
use super::{Pending, Rejection};
use crate::{inventory, payment};

pub(super) fn answered(
    draft: &mut Draft<'_>,
    open: &Pending,
    answer: Answer,
) -> Result<(), Rejection> {
    match answer {
        Answer::Captured { amount } | Answer::AlreadyCaptured { amount, .. } => {
            captured(draft, amount)
        }
        Answer::Refused { code, message } => refused(draft, &code, &message),
        Answer::Retry { .. } | Answer::Unknown { .. } | Answer::NeverHappened { .. } => {
            unsettled(draft, open, answer)
        }
        Answer::Authorised { .. }
        | Answer::ActionRequired { .. }
        | Answer::Voided
        | Answer::NothingToVoid
        | Answer::Refunded { .. }
        | Answer::RefundFailed { .. } => Err(unfit(open.step, &answer)),
    }
}

pub(super) fn captured(draft: &mut Draft<'_>, amount: Money) -> Result<(), Rejection> {
    if amount != draft.saga.total {
        let detail = asked_and_told(Step::Capture, draft.saga.total, amount);
        draft.need_operator(Step::Capture, Cause::AmountMismatch, &detail);
        return Ok(());
    }
    draft.payment(payment::Capture { amount })?;
    draft.end_step(Step::Capture, Outcome::Ok, None);
    sell(draft)
}

/// The held units are sold and the order is confirmed.
pub(super) fn sell(draft: &mut Draft<'_>) -> Result<(), Rejection> {
    if let Some(detail) = commit(draft)? {
        // Only a history that others than the saga wrote to can come here. The money is taken: a person is told.
        draft.need_operator(Step::Commit, Cause::Poisoned, &detail);
        return Ok(());
    }
    draft.end_step(Step::Commit, Outcome::Ok, None);
    draft.end_completed()
}

/// Sells the units of all lines or of none; why not, in words.
pub(super) fn commit(draft: &mut Draft<'_>) -> Result<Option<String>, Rejection> {
    let order_id = draft.world.order_id;
    let refused = draft.stock(|_| inventory::Commit { order_id })?;
    let why = |(line, rejection): (event_schema::fulfilment::Line, inventory::Rejection)| {
        format!("{} cannot be sold: {rejection}", line.product_id)
    };
    Ok(refused.into_iter().next().map(why))
}

pub(super) fn refused(draft: &mut Draft<'_>, code: &str, message: &str) -> Result<(), Rejection> {
    draft.payment(payment::RefuseCapture {
        code: cut(code),
        message: cut(message),
    })?;
    draft.end_step(
        Step::Capture,
        Outcome::Refused,
        Some(&format!("{code}: {message}")),
    );
    draft.unwind(CancelReason::PaymentDeclined, Some(message))
}
