//! A success that arrives after everything was put back is undone once: let go if set aside, given back if taken.
//! The order stays called off and the stock untouched. A refund that fails after the end, because the customer's bank
//! sent the money back, is owed again: a person is told.

use event_schema::Money;
use event_schema::fulfilment::{Cause, Outcome, Step};
use event_schema::ids::EffectId;
use event_schema::order::CancelReason;

use super::Rejection;
use super::answer::Answer;
use super::attempt::asked_and_told;
use super::draft::{Draft, cut};
use super::void::record_taken;
use crate::payment;

pub(super) fn answered(
    draft: &mut Draft<'_>,
    reason: CancelReason,
    effect_id: EffectId,
    answer: Answer,
) -> Result<(), Rejection> {
    if !draft.saga.knows(draft.world.order_id, effect_id) {
        return Ok(());
    }
    match answer {
        Answer::Authorised {
            provider_payment_id,
            amount,
        } => set_aside(draft, reason, provider_payment_id, amount),
        Answer::AlreadyCaptured {
            provider_payment_id,
            amount,
        } => taken(draft, reason, provider_payment_id, amount),
        Answer::Captured { amount } => match draft.payment.provider_payment_id.clone() {
            Some(provider_payment_id) => taken(draft, reason, provider_payment_id, amount),
            // Taken under a payment that nobody has named: a look-up names it.
            None => Ok(()),
        },
        Answer::RefundFailed {
            refund_id,
            amount,
            code,
            message,
        } => {
            let failed = payment::FailRefund {
                refund_id,
                amount,
                code: cut(&code),
                message: cut(&message),
            };
            came_back(draft, reason, failed)
        }
        Answer::ActionRequired { .. }
        | Answer::Voided
        | Answer::NothingToVoid
        | Answer::Refunded { .. }
        | Answer::Refused { .. }
        | Answer::Retry { .. }
        | Answer::Unknown { .. }
        | Answer::NeverHappened { .. } => Ok(()),
    }
}

fn set_aside(
    draft: &mut Draft<'_>,
    reason: CancelReason,
    provider_payment_id: String,
    amount: Money,
) -> Result<(), Rejection> {
    // That very payment was let go or given back: this is an old answer that comes late, not a late success.
    let payment = &draft.payment;
    if payment.was_let_go(&provider_payment_id) || payment.was_given_back(&provider_payment_id) {
        return Ok(());
    }
    let detail = format!("{amount} were set aside after the end ({provider_payment_id})");
    // A sum that was never asked for does not enter the ledger, but it is let go all the same.
    if amount == draft.saga.total {
        draft.payment(payment::Authorise {
            provider_payment_id,
            amount,
        })?;
    }
    draft.unwind_again(reason, &detail, Step::Void);
    draft.put_back()
}

fn taken(
    draft: &mut Draft<'_>,
    reason: CancelReason,
    provider_payment_id: String,
    amount: Money,
) -> Result<(), Rejection> {
    if draft.payment.was_given_back(&provider_payment_id) {
        return Ok(());
    }
    let detail = format!("{amount} were taken after the end ({provider_payment_id})");
    draft.unwind_again(reason, &detail, Step::Refund);
    if amount != draft.saga.total {
        let detail = format!(
            "{} ({provider_payment_id})",
            asked_and_told(Step::Refund, draft.saga.total, amount)
        );
        draft.need_operator(Step::Refund, Cause::AmountMismatch, &detail);
        return Ok(());
    }
    record_taken(draft, provider_payment_id, amount)?;
    draft.put_back()
}

fn came_back(
    draft: &mut Draft<'_>,
    reason: CancelReason,
    failed: payment::FailRefund,
) -> Result<(), Rejection> {
    // Another refund has taken its place, or a person has settled it: this one is old.
    if draft.payment.refund_id.as_ref() != Some(&failed.refund_id) {
        return Ok(());
    }
    let detail = format!(
        "{} came back after they were given back ({}): {}: {}",
        failed.amount, failed.refund_id, failed.code, failed.message
    );
    draft.payment(failed)?;
    draft.unwind_again(reason, &detail, Step::Refund);
    draft.end_step(Step::Refund, Outcome::Refused, Some(&detail));
    draft.need_operator(Step::Refund, Cause::RefundRefused, &detail);
    Ok(())
}
