//! Giving back what was taken. Never without having looked for an earlier refund of the same effect.

use event_schema::Timestamp;

use super::{Outcome, Past, authorise::found, key_lives, never};
use crate::provider::{Call, Fault, PaymentProvider, Refund, RefundStatus};

pub(super) async fn run(
    provider: &dyn PaymentProvider,
    call: &Call,
    payment_id: &str,
    past: Past,
    now: Timestamp,
) -> Result<Outcome, Fault> {
    if past != Past::FirstCall {
        if let Some(outcome) = look(provider, call, payment_id).await? {
            return Ok(outcome);
        }
        if !key_lives(call, now) {
            return Ok(never("the provider lists no such refund a day after", call.effect_id));
        }
    }
    match provider.refund(call, payment_id).await {
        Ok(refund) => Ok(of(refund)),
        Err(Fault::Refused { code, message } | Fault::WrongState { code, message }) => {
            // "Already given back" may be ours, given back by a call whose answer was lost.
            Ok(look(provider, call, payment_id).await?.unwrap_or(Outcome::Refused { code, message }))
        }
        Err(Fault::Unknown { detail, replayed: true, .. }) if past != Past::FirstCall => Ok(never(
            &format!("the provider only repeats a failure, and lists no refund: {detail}"),
            call.effect_id,
        )),
        Err(fault) => Err(fault),
    }
}

/// What became of it; `None` when the provider has no such refund.
pub(super) async fn look(
    provider: &dyn PaymentProvider,
    call: &Call,
    payment_id: &str,
) -> Result<Option<Outcome>, Fault> {
    Ok(found(provider.find_refund(call, payment_id).await?)?.map(of))
}

fn of(refund: Refund) -> Outcome {
    match refund.status {
        RefundStatus::Succeeded => Outcome::Refunded { refund_id: refund.id, amount: refund.amount },
        RefundStatus::Pending => Outcome::Unknown {
            detail: "the refund is on its way".into(),
            reachable: true,
        },
        RefundStatus::Failed { reason } => Outcome::Refused { code: reason, message: "the refund failed".into() },
    }
}
