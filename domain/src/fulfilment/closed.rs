//! What the provider tells after a person has ended the saga: it enters the books, so that it can be found, and brings
//! nothing back.

use event_schema::Money;
use event_schema::fulfilment::{self as event, Outcome, Step};
use event_schema::ids::EffectId;

use super::Rejection;
use super::answer::Answer;
use super::draft::{Draft, cut};
use super::state::MOST_LATE_OUTCOMES;
use super::void::record_taken;
use crate::payment;

pub(super) fn answered(
    draft: &mut Draft<'_>,
    effect_id: EffectId,
    answer: Answer,
) -> Result<(), Rejection> {
    if !draft.saga.knows(draft.world.order_id, effect_id) {
        return Ok(());
    }
    let mut outcome = Outcome::Ok;
    let told = match answer {
        Answer::Authorised {
            provider_payment_id,
            amount,
        } => set_aside(draft, provider_payment_id, amount),
        Answer::AlreadyCaptured {
            provider_payment_id,
            amount,
        } => taken(draft, Some(provider_payment_id), amount),
        Answer::Captured { amount } => {
            let provider_payment_id = draft.payment.provider_payment_id.clone();
            taken(draft, provider_payment_id, amount)
        }
        Answer::Voided => let_go(draft),
        Answer::Refunded { refund_id, amount } => given_back(draft, refund_id, amount),
        Answer::RefundFailed {
            refund_id,
            amount,
            code,
            message,
        } => {
            outcome = Outcome::Refused;
            let failed = payment::FailRefund {
                refund_id,
                amount,
                code: cut(&code),
                message: cut(&message),
            };
            came_back(draft, failed)
        }
        Answer::ActionRequired { .. }
        | Answer::NothingToVoid
        | Answer::Refused { .. }
        | Answer::Retry { .. }
        | Answer::Unknown { .. }
        | Answer::NeverHappened { .. } => None,
    };
    let Some((step, detail)) = told else {
        return Ok(());
    };
    let late = event::LateOutcomeRecorded {
        step,
        effect_id,
        outcome,
        detail: cut(&detail),
    };
    let told_before = |before: &event::LateOutcomeRecorded| {
        (before.step, &before.detail) == (late.step, &late.detail)
    };
    if draft.saga.late.len() < MOST_LATE_OUTCOMES && !draft.saga.late.iter().any(told_before) {
        draft.note_late(late);
    }
    Ok(())
}

/// What was told, unless it is known already.
type Told = Option<(Step, String)>;

fn set_aside(draft: &mut Draft<'_>, provider_payment_id: String, amount: Money) -> Told {
    let payment = &draft.payment;
    if payment.was_let_go(&provider_payment_id) || payment.was_given_back(&provider_payment_id) {
        return None;
    }
    let detail = format!("{amount} were set aside ({provider_payment_id})");
    let authorise = payment::Authorise {
        provider_payment_id,
        amount,
    };
    booked(draft, authorise.into()).then_some((Step::Authorise, detail))
}

fn taken(draft: &mut Draft<'_>, provider_payment_id: Option<String>, amount: Money) -> Told {
    let id = provider_payment_id.unwrap_or_else(|| "under a payment that nobody has named".into());
    if draft.payment.was_given_back(&id) {
        return None;
    }
    let known = draft.payment.provider_payment_id.as_ref() == Some(&id);
    if known && draft.payment.has_refundable() {
        return None;
    }
    let detail = format!("{amount} were taken ({id})");
    // A sum that was never asked for, or under no name, does not enter the ledger, but it can be found all the same.
    if amount == draft.saga.total && !draft.payment.has_refundable() {
        let before = draft.payment.clone();
        if record_taken(draft, id, amount).is_ok() && draft.payment == before {
            return None;
        }
    }
    Some((Step::Capture, detail))
}

fn let_go(draft: &mut Draft<'_>) -> Told {
    if !draft.payment.has_capturable() {
        return None;
    }
    let detail = "what was set aside was let go".to_owned();
    booked(draft, payment::Void.into()).then_some((Step::Void, detail))
}

fn given_back(draft: &mut Draft<'_>, refund_id: String, amount: Money) -> Told {
    let detail = format!("{amount} were given back ({refund_id})");
    let refund = payment::Refund { refund_id, amount };
    booked(draft, refund.into()).then_some((Step::Refund, detail))
}

fn came_back(draft: &mut Draft<'_>, failed: payment::FailRefund) -> Told {
    let detail = format!(
        "{} came back after they were given back ({}): {}: {}",
        failed.amount, failed.refund_id, failed.code, failed.message
    );
    booked(draft, failed.into()).then_some((Step::Refund, detail))
}

/// Whether it is news: entered into the ledger, or not fitting into it.
fn booked(draft: &mut Draft<'_>, command: payment::Command) -> bool {
    let before = draft.payment.clone();
    draft.payment(command).is_err() || draft.payment != before
}
