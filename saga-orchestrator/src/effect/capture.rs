//! Taking what is set aside: the pivot. A refusal is believed only after the payment itself shows it.

use event_schema::{Money, Timestamp};

use super::{Outcome, Past, Searched, key_lives, spent, though_answered};
use crate::provider::{Call, Fault, Payment, PaymentProvider, PaymentStatus, Search};

pub(super) async fn run(
    provider: &dyn PaymentProvider,
    call: &Call,
    payment_id: &str,
    past: Past,
    now: Timestamp,
) -> Result<Outcome, Fault> {
    if past != Past::FirstCall {
        if let Search::Found(outcome) = look(provider, payment_id).await? {
            return Ok(outcome);
        }
        if !key_lives(call, now) {
            let detail = "a day after, it is still set aside and not taken";
            return Ok(spent(Searched::Nothing, detail, call.effect_id));
        }
    }
    match provider.capture(call, payment_id).await {
        Ok(payment) => Ok(of(payment)),
        Err(Fault::Refused { code, message } | Fault::WrongState { code, message }) => {
            let refused = Outcome::Refused { code, message };
            Ok(match provider.payment(payment_id).await? {
                None => missing(),
                Some(payment) => match payment.status {
                    PaymentStatus::Captured | PaymentStatus::Processing => of(payment),
                    _ => refused,
                },
            })
        }
        Err(Fault::Unknown {
            detail,
            replayed: true,
            ..
        }) if past != Past::FirstCall => {
            let detail =
                format!("the provider only repeats a failure, and has taken nothing: {detail}");
            Ok(spent(Searched::Nothing, &detail, call.effect_id))
        }
        Err(fault) if past != Past::FirstCall => Err(though_answered(fault)),
        Err(fault) => Err(fault),
    }
}

/// What became of it; nothing while it is still set aside and not taken.
pub(super) async fn look(
    provider: &dyn PaymentProvider,
    payment_id: &str,
) -> Result<Search<Outcome>, Fault> {
    Ok(match provider.payment(payment_id).await? {
        None => Search::Found(missing()),
        Some(payment) if payment.status == PaymentStatus::Authorised => Search::Nothing,
        Some(payment) => Search::Found(of(payment)),
    })
}

fn missing() -> Outcome {
    Outcome::Refused {
        code: "resource_missing".into(),
        message: "the provider does not have the payment".into(),
    }
}

fn of(payment: Payment) -> Outcome {
    match payment.status {
        PaymentStatus::Captured => Outcome::Captured {
            amount: Money::new(payment.received, payment.amount.currency),
            payment_id: payment.id,
        },
        PaymentStatus::Cancelled { reason } => Outcome::Refused {
            code: "canceled".into(),
            message: reason.unwrap_or_else(|| "the payment was cancelled".into()),
        },
        PaymentStatus::Declined { code, message } => Outcome::Refused { code, message },
        PaymentStatus::New
        | PaymentStatus::AwaitsCustomer { .. }
        | PaymentStatus::Processing
        | PaymentStatus::Authorised => Outcome::Unknown {
            detail: "the provider has not taken it yet".into(),
            reachable: true,
            after: None,
        },
    }
}
