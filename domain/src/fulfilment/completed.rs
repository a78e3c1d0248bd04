//! Money of a completed order that somebody gave back at the provider, past the shop. It enters the books, where the audit
//! finds an order that is confirmed and not paid; the saga stays completed, and what becomes of the units a person decides.

use super::Rejection;
use super::answer::Answer;
use super::draft::Draft;
use crate::payment;

pub(super) fn answered(draft: &mut Draft<'_>, answer: Answer) -> Result<(), Rejection> {
    let Answer::Refunded { refund_id, amount } = answer else {
        return Ok(());
    };
    // A part of it, or once more, does not fit into the books.
    if !draft.payment.has_refundable() || draft.payment.refundable() != Some(amount) {
        return Ok(());
    }
    draft.payment(payment::Refund { refund_id, amount })
}
