//! The operator states the truth about the stuck step, and the saga goes on, forward or back, as if the provider had
//! said it. A step that was done was done as it was asked for.

use event_schema::fulfilment::{self as event, Cause, Outcome, Step};
use event_schema::order::CancelReason;

use super::{OperatorRejection, Truth, waiting};
use crate::fulfilment::draft::Draft;
use crate::fulfilment::{Rejection, Stuck, authorise, capture, void};
use crate::payment;

/// How a refusal is recorded that an operator states. The customer reads it too, so the evidence is not in it.
const CODE: &str = "stated_by_operator";
const MESSAGE: &str = "the payment was refused";
/// How a provider's payment and refund are recognised in a sentence.
const PAYMENT_PREFIX: &str = "pi_";
const REFUND_PREFIX: &str = "re_";

pub(super) fn decide(
    draft: &mut Draft<'_>,
    step: Step,
    truth: Truth,
    ordered: event::OperatorCommanded,
) -> Result<(), Rejection> {
    let stuck = waiting(draft, Some(step))?;
    let evidence = ordered.evidence.clone().unwrap_or_default();
    let operator = format!("operator:{}", ordered.command_id);
    let total = draft.saga.total;
    match (step, truth) {
        (Step::Authorise, Truth::Ok) => {
            let known = draft.payment.provider_payment_id.clone();
            let payment_id = named(&evidence, PAYMENT_PREFIX).or(known);
            let payment_id = payment_id.ok_or(OperatorRejection::PaymentNotNamed)?;
            draft.accept(ordered);
            authorise::authorised(draft, payment_id, total)
        }
        (Step::Authorise, Truth::Refused) => {
            draft.accept(ordered);
            authorise::refused(draft, CODE.to_owned(), MESSAGE.to_owned())
        }
        (Step::Capture, Truth::Ok) => {
            draft.accept(ordered);
            capture::captured(draft, total)
        }
        (Step::Capture, Truth::Refused) => {
            draft.accept(ordered);
            capture::refused(draft, CODE, MESSAGE)
        }
        (Step::Void, Truth::Ok) => {
            draft.accept(ordered);
            void::voided(draft, Some(&evidence))
        }
        (Step::Refund, Truth::Ok) => {
            draft.accept(ordered);
            let refund_id = named(&evidence, REFUND_PREFIX).unwrap_or(operator);
            refunded(draft, refund_id, &evidence)
        }
        (Step::Void | Step::Refund, Truth::Refused) => {
            not_refused_before(&stuck)?;
            draft.accept(ordered);
            refused(draft, step, &evidence)
        }
        (Step::Commit, Truth::Refused) => {
            draft.accept(ordered);
            draft.end_step(step, Outcome::Refused, Some(&evidence));
            draft.unwind(CancelReason::OperatorAborted, None)
        }
        (Step::Commit | Step::Hold | Step::Release, Truth::Ok)
        | (Step::Hold | Step::Release, Truth::Refused) => {
            Err(OperatorRejection::KnownInside { step }.into())
        }
    }
}

fn not_refused_before(stuck: &Stuck) -> Result<(), OperatorRejection> {
    match stuck.cause {
        Cause::RefundRefused | Cause::VoidRefused => {
            Err(OperatorRejection::RefusedAlready { step: stuck.step })
        }
        Cause::PaymentUnknown
        | Cause::AmountMismatch
        | Cause::RetriesExhausted
        | Cause::Poisoned
        | Cause::VersionUnsupported => Ok(()),
    }
}

fn refunded(draft: &mut Draft<'_>, refund_id: String, evidence: &str) -> Result<(), Rejection> {
    // A sum that was never asked for is not in the ledger, so it does not leave it either.
    if let Some(amount) = draft
        .payment
        .refundable()
        .filter(|_| draft.payment.has_refundable())
    {
        draft.payment(payment::Refund { refund_id, amount })?;
    }
    draft.end_step(Step::Refund, Outcome::Ok, Some(evidence));
    draft.put_back()
}

fn refused(draft: &mut Draft<'_>, step: Step, evidence: &str) -> Result<(), Rejection> {
    let (code, message) = (CODE.to_owned(), MESSAGE.to_owned());
    let cause = if step == Step::Refund {
        if draft.payment.has_refundable() {
            draft.payment(payment::RefuseRefund { code, message })?;
        }
        Cause::RefundRefused
    } else {
        draft.payment(payment::RefuseVoid { code, message })?;
        Cause::VoidRefused
    };
    draft.end_step(step, Outcome::Refused, Some(evidence));
    draft.need_operator(step, cause, evidence);
    Ok(())
}

/// The provider's name for something: the word that begins like one, or the only word.
fn named(evidence: &str, prefix: &str) -> Option<String> {
    let words = || {
        evidence
            .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
            .filter(|word| !word.is_empty())
    };
    let like_one = words().find(|word| word.starts_with(prefix) && word.len() > prefix.len());
    let only = evidence
        .split_whitespace()
        .next()
        .filter(|word| *word == evidence && *word != prefix && word.contains('_'));
    like_one.or(only).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_providers_name_is_found_in_a_sentence() {
        let payment = |evidence| named(evidence, PAYMENT_PREFIX);
        assert_eq!(payment("pi_3Nx"), Some("pi_3Nx".into()));
        assert_eq!(
            payment("seen as pi_3Nx, in the dashboard"),
            Some("pi_3Nx".into())
        );
        assert_eq!(payment("(pi_3Nx)."), Some("pi_3Nx".into()));
        assert_eq!(
            payment("charge_77"),
            Some("charge_77".into()),
            "another provider's"
        );
        for nothing in ["", "the bank said so", "yes", "pi_", "copi_7 it is"] {
            assert_eq!(payment(nothing), None, "{nothing:?}");
        }
    }
}
