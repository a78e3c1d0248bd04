//! The money is let go. A void that finds the money taken after all gives it back instead.

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
        Answer::Voided => voided(draft, None),
        Answer::NothingToVoid => voided(draft, Some("nothing had been set aside")),
        Answer::AlreadyCaptured {
            provider_payment_id,
            amount,
        } => taken(draft, provider_payment_id, amount),
        Answer::Refused { code, message } => refused(draft, &code, &message),
        Answer::Retry { .. } | Answer::Unknown { .. } | Answer::NeverHappened { .. } => {
            unsettled(draft, open, answer)
        }
        Answer::Authorised { .. }
        | Answer::ActionRequired { .. }
        | Answer::Captured { .. }
        | Answer::Refunded { .. }
        | Answer::RefundFailed { .. } => Err(unfit(open.step, &answer)),
    }
}

pub(super) fn voided(draft: &mut Draft<'_>, detail: Option<&str>) -> Result<(), Rejection> {
    draft.payment(payment::Void)?;
    draft.end_step(Step::Void, Outcome::Ok, detail);
    draft.put_back()
}

fn taken(
    draft: &mut Draft<'_>,
    provider_payment_id: String,
    amount: Money,
) -> Result<(), Rejection> {
    if amount != draft.saga.total {
        let detail = format!(
            "{} ({provider_payment_id})",
            asked_and_told(Step::Void, draft.saga.total, amount)
        );
        draft.need_operator(Step::Void, Cause::AmountMismatch, &detail);
        return Ok(());
    }
    record_taken(draft, provider_payment_id, amount)?;
    draft.end_step(
        Step::Void,
        Outcome::Refused,
        Some("the money was taken after all"),
    );
    draft.intend(Step::Refund)
}

/// The ledger learns that the money was taken; also that it was set aside, where it did not know.
pub(super) fn record_taken(
    draft: &mut Draft<'_>,
    provider_payment_id: String,
    amount: Money,
) -> Result<(), Rejection> {
    if !draft.payment.has_capturable() {
        draft.payment(payment::Authorise {
            provider_payment_id,
            amount,
        })?;
    }
    draft.payment(payment::Capture { amount })
}

pub(super) fn refused(draft: &mut Draft<'_>, code: &str, message: &str) -> Result<(), Rejection> {
    let detail = format!("{code}: {message}");
    draft.payment(payment::RefuseVoid {
        code: cut(code),
        message: cut(message),
    })?;
    draft.end_step(Step::Void, Outcome::Refused, Some(&detail));
    draft.need_operator(Step::Void, Cause::VoidRefused, &detail);
    Ok(())
}
