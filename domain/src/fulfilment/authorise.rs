//! The money is set aside; in the same batch all lines are held, or none, and the capture's intent is recorded.

use event_schema::Money;
use event_schema::fulfilment::{Cause, Line, Outcome, Step};
use event_schema::order::CancelReason;

use super::answer::{Answer, unfit, unsettled};
use super::attempt::asked_and_told;
use super::draft::{Draft, cut};
use super::policy::after;
use super::{Pending, Phase, Rejection};
use crate::{inventory, payment};

pub(super) fn answered(
    draft: &mut Draft<'_>,
    open: &Pending,
    answer: Answer,
) -> Result<(), Rejection> {
    match answer {
        // Taken although only setting aside was asked: our capture will find it taken, or our void will.
        Answer::Authorised {
            provider_payment_id,
            amount,
        }
        | Answer::AlreadyCaptured {
            provider_payment_id,
            amount,
        } => authorised(draft, provider_payment_id, amount),
        Answer::ActionRequired {
            checkout_url,
            session_id,
            provider_payment_id,
        } => {
            let page = Page {
                checkout_url,
                session_id,
                provider_payment_id,
            };
            action_required(draft, open, page)
        }
        Answer::Refused { code, message } => refused(draft, code, message),
        Answer::Retry { .. } | Answer::Unknown { .. } | Answer::NeverHappened { .. } => {
            unsettled(draft, open, answer)
        }
        Answer::Captured { .. }
        | Answer::Voided
        | Answer::NothingToVoid
        | Answer::Refunded { .. }
        | Answer::RefundFailed { .. } => Err(unfit(open.step, &answer)),
    }
}

pub(super) fn authorised(
    draft: &mut Draft<'_>,
    provider_payment_id: String,
    amount: Money,
) -> Result<(), Rejection> {
    if amount != draft.saga.total {
        let detail = format!(
            "{} ({provider_payment_id})",
            asked_and_told(Step::Authorise, draft.saga.total, amount)
        );
        draft.need_operator(Step::Authorise, Cause::AmountMismatch, &detail);
        return Ok(());
    }
    draft.payment(payment::Authorise {
        provider_payment_id,
        amount,
    })?;
    draft.end_step(Step::Authorise, Outcome::Ok, None);
    match hold(draft)? {
        None => {
            draft.end_step(Step::Hold, Outcome::Ok, None);
            draft.intend(Step::Capture)
        }
        Some(sold_out) => {
            draft.end_step(Step::Hold, Outcome::Refused, Some(&sold_out));
            draft.unwind(CancelReason::OutOfStock, Some(&sold_out))
        }
    }
}

/// Holds all lines or none; what is missing, in words, when it is none.
pub(super) fn hold(draft: &mut Draft<'_>) -> Result<Option<String>, Rejection> {
    let (order_id, expires_at) = (
        draft.world.order_id,
        after(draft.now, draft.policy.hold_expiry),
    );
    let refused = draft.stock(|line| inventory::Hold {
        order_id,
        quantity: line.quantity,
        expires_at,
    })?;
    let mut missing = vec![];
    for (line, rejection) in refused {
        let name = name(draft, &line);
        match rejection {
            inventory::Rejection::OutOfStock { available } => {
                missing.push(format!(
                    "{name}: {} wanted, {available} available",
                    line.quantity
                ));
            }
            // The order's hold has come and gone: it does not get another one.
            inventory::Rejection::HoldGone => {
                missing.push(format!("{name}: {}", inventory::Rejection::HoldGone))
            }
            rejection @ (inventory::Rejection::QuantityOutOfRange
            | inventory::Rejection::TooManyUnits
            | inventory::Rejection::InsufficientStock { .. }
            | inventory::Rejection::HeldDifferently { .. }) => {
                return Err(Rejection::Stock {
                    product_id: line.product_id,
                    rejection,
                });
            }
        }
    }
    Ok((!missing.is_empty()).then(|| cut(&missing.join("; "))))
}

/// The product's name as it was ordered.
fn name(draft: &Draft<'_>, line: &Line) -> String {
    let lines = draft
        .world
        .order
        .details()
        .map_or(&[][..], |details| &details.lines);
    lines
        .iter()
        .find(|ordered| ordered.product_id == line.product_id)
        .map_or_else(
            || line.product_id.to_string(),
            |ordered| ordered.name.clone(),
        )
}

struct Page {
    checkout_url: String,
    session_id: Option<String>,
    provider_payment_id: Option<String>,
}

fn action_required(draft: &mut Draft<'_>, open: &Pending, page: Page) -> Result<(), Rejection> {
    let until = match (open.phase, open.customer_until) {
        // Waiting for that already; its end is the deadline's business.
        (Phase::AwaitingCustomer { .. }, _) => return Ok(()),
        // Looked up, and the customer still has not acted: in time, or too late.
        (Phase::InFlight { .. } | Phase::Backoff { .. }, Some(until)) if until <= draft.now => {
            return draft.unwind(CancelReason::PaymentExpired, None);
        }
        (Phase::InFlight { .. } | Phase::Backoff { .. }, Some(until)) => until,
        (Phase::InFlight { .. } | Phase::Backoff { .. }, None) => {
            after(draft.now, draft.policy.time_to_pay)
        }
    };
    let Page {
        checkout_url,
        session_id,
        provider_payment_id,
    } = page;
    draft.payment(payment::RequireAction {
        checkout_url,
        session_id,
        provider_payment_id,
        expires_at: until,
    })?;
    draft.await_customer(open.step, open.effect_id, until);
    Ok(())
}

/// Refused for good: nothing is set aside, nothing was held, so there is nothing to put back.
pub(super) fn refused(
    draft: &mut Draft<'_>,
    code: String,
    message: String,
) -> Result<(), Rejection> {
    let (code, message) = (cut(&code), cut(&message));
    draft.end_step(
        Step::Authorise,
        Outcome::Refused,
        Some(&format!("{code}: {message}")),
    );
    draft.payment(payment::Decline {
        code,
        message: message.clone(),
    })?;
    draft.end_compensated(CancelReason::PaymentDeclined, Some(message))
}
