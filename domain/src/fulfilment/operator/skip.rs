//! The stuck step was settled outside. It counts as settled, what is left is done, and the saga ends closed: not all of
//! it was the saga's own doing. The provider's sums stay as they are; the settlement is recorded beside them.

use event_schema::Money;
use event_schema::fulfilment::{self as event, Outcome, Step};

use super::{OperatorRejection, waiting};
use crate::fulfilment::draft::Draft;
use crate::fulfilment::{Rejection, authorise, capture};
use crate::{inventory, payment};

pub(super) fn decide(
    draft: &mut Draft<'_>,
    step: Step,
    ordered: event::OperatorCommanded,
) -> Result<(), Rejection> {
    waiting(draft, Some(step))?;
    let reason = ordered.reason.clone();
    match step {
        // The order is paid for by other means: it is held, sold and confirmed.
        Step::Authorise => {
            settle(draft, step, draft.saga.total, ordered)?;
            if let Some(missing) = authorise::hold(draft)? {
                return Err(cannot(step, missing));
            }
            draft.end_step(Step::Hold, Outcome::Ok, None);
            sold(draft, step)?;
            confirmed(draft, reason)
        }
        Step::Capture => {
            settle(draft, step, draft.saga.total, ordered)?;
            sold(draft, step)?;
            confirmed(draft, reason)
        }
        // What is still held is sold; what is gone was handed out by other means.
        Step::Commit => {
            draft.accept(ordered);
            let order_id = draft.world.order_id;
            draft.stock_by_line(|_, stock| {
                stock
                    .holds
                    .contains_key(&order_id)
                    .then_some(inventory::Commit { order_id })
            })?;
            confirmed(draft, reason)
        }
        Step::Void => {
            let set_aside = draft.payment.capturable();
            settle(draft, step, set_aside.unwrap_or(draft.saga.total), ordered)?;
            draft.put_back()
        }
        Step::Refund => {
            let owed = draft.payment.refundable();
            settle(draft, step, owed.unwrap_or(draft.saga.total), ordered)?;
            draft.put_back()
        }
        Step::Hold | Step::Release => Err(cannot(
            step,
            "it is decided inside and never waits for a person".into(),
        )),
    }
}

fn settle(
    draft: &mut Draft<'_>,
    step: Step,
    amount: Money,
    ordered: event::OperatorCommanded,
) -> Result<(), Rejection> {
    draft.payment(payment::SettleOutside {
        step: step.as_str().to_owned(),
        amount,
        reason: ordered.reason.clone(),
    })?;
    draft.accept(ordered);
    Ok(())
}

fn sold(draft: &mut Draft<'_>, step: Step) -> Result<(), Rejection> {
    if let Some(why) = capture::commit(draft)? {
        return Err(cannot(step, why));
    }
    draft.end_step(Step::Commit, Outcome::Ok, None);
    Ok(())
}

fn confirmed(draft: &mut Draft<'_>, reason: String) -> Result<(), Rejection> {
    draft.confirm()?;
    draft.close(vec![], reason);
    Ok(())
}

fn cannot(step: Step, why: String) -> Rejection {
    OperatorRejection::CannotSkip { step, why }.into()
}
