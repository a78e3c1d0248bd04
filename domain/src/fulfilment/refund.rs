//! Taken money is given back.

use event_schema::Money;
use event_schema::fulfilment::{Cause, Outcome, Step};

use super::answer::{Answer, unfit, unsettled};
use super::attempt::asked_and_told;
use super::draft::{Draft, cut};
use super::{Pending, Rejection};
use crate::payment;

pub(super) fn answered(
    draft: &mut Draft<'_>,
    open: &Pending,
    answer: Answer,
) -> Result<(), Rejection> {
    match answer {
        Answer::Refunded { refund_id, amount } => refunded(draft, refund_id, amount),
        Answer::Refused { code, message } | Answer::RefundFailed { code, message, .. } => {
            refused(draft, &code, &message)
        }
        Answer::Retry { .. } | Answer::Unknown { .. } | Answer::NeverHappened { .. } => {
            unsettled(draft, open, answer)
        }
        Answer::Authorised { .. }
        | Answer::ActionRequired { .. }
        | Answer::Captured { .. }
        | Answer::Voided
        | Answer::NothingToVoid
        | Answer::AlreadyCaptured { .. } => Err(unfit(open.step, &answer)),
    }
}

fn refunded(draft: &mut Draft<'_>, refund_id: String, amount: Money) -> Result<(), Rejection> {
    let taken = draft.payment.refundable().unwrap_or(draft.saga.total);
    if amount != taken {
        let detail = format!(
            "{} ({refund_id})",
            asked_and_told(Step::Refund, taken, amount)
        );
        draft.need_operator(Step::Refund, Cause::AmountMismatch, &detail);
        return Ok(());
    }
    draft.payment(payment::Refund { refund_id, amount })?;
    draft.end_step(Step::Refund, Outcome::Ok, None);
    draft.put_back()
}

fn refused(draft: &mut Draft<'_>, code: &str, message: &str) -> Result<(), Rejection> {
    let detail = format!("{code}: {message}");
    draft.payment(payment::RefuseRefund {
        code: cut(code),
        message: cut(message),
    })?;
    draft.end_step(Step::Refund, Outcome::Refused, Some(&detail));
    draft.need_operator(Step::Refund, Cause::RefundRefused, &detail);
    Ok(())
}
