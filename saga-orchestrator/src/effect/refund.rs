//! Giving back what was taken. Never without having looked for an earlier refund of the same effect.

use event_schema::Timestamp;

use super::{Outcome, Past, found, key_lives, spent, though_answered};
use crate::provider::{Call, Fault, PaymentProvider, Refund, RefundStatus, Search};

/// The provider's code for "all of it has been given back".
const ALREADY_GIVEN_BACK: &str = "charge_already_refunded";

pub(super) async fn run(
    provider: &dyn PaymentProvider,
    call: &Call,
    payment_id: &str,
    past: Past,
    now: Timestamp,
) -> Result<Outcome, Fault> {
    let mut searched = None;
    let mut failed_before = None;
    if past != Past::FirstCall {
        match found(look(provider, call, payment_id).await?) {
            // What a person has tried again: another refund is asked for under the new key.
            Ok(failed @ Outcome::RefundFailed { .. })
                if call.refusals > 0 && key_lives(call, now) =>
            {
                failed_before = Some(failed);
            }
            Ok(outcome) => return Ok(outcome),
            Err(how) => searched = Some(how),
        }
    }
    if let Some(searched) = searched.filter(|_| !key_lives(call, now)) {
        return Ok(spent(
            searched,
            "the provider shows no such refund a day after",
            call.effect_id,
        ));
    }
    match provider.refund(call, payment_id).await {
        Ok(refund) => Ok(match failed_before {
            // The answer repeats what was true when that very refund was made; it has failed since.
            Some(Outcome::RefundFailed {
                refund_id,
                amount,
                code,
                message,
            }) if refund_id == refund.id => Outcome::RefundFailed {
                refund_id,
                amount,
                code,
                message,
            },
            _ => of(refund),
        }),
        // "Already given back" may be ours, given back by a call whose answer was lost.
        Err(Fault::Refused { code, message } | Fault::WrongState { code, message }) => {
            let seen = match look(provider, call, payment_id).await? {
                // Or by a person, past us: then the customer has his money, and nobody needs to be asked.
                Search::Nothing if code == ALREADY_GIVEN_BACK => {
                    found_refund(provider.find_whole_refund(call, payment_id).await?)
                }
                seen => seen,
            };
            Ok(match seen {
                Search::Found(outcome) => outcome,
                Search::Nothing => Outcome::Refused { code, message },
                Search::CutOff => Outcome::Unknown {
                    detail: format!("{code}: {message}"),
                    reachable: true,
                    after: None,
                },
            })
        }
        Err(Fault::Unknown {
            detail,
            reachable,
            after,
            replayed: true,
        }) => Ok(match searched {
            Some(searched) => {
                let detail =
                    format!("the provider only repeats a failure, and shows no refund: {detail}");
                spent(searched, &detail, call.effect_id)
            }
            None => Outcome::Unknown {
                detail,
                reachable,
                after,
            },
        }),
        Err(fault) if past != Past::FirstCall => Err(though_answered(fault)),
        Err(fault) => Err(fault),
    }
}

/// What became of it, as far as the provider shows such a refund.
pub(super) async fn look(
    provider: &dyn PaymentProvider,
    call: &Call,
    payment_id: &str,
) -> Result<Search<Outcome>, Fault> {
    Ok(found_refund(provider.find_refund(call, payment_id).await?))
}

/// Whether anybody has given all of it back, such as a person at the provider's dashboard.
pub(super) async fn look_for_any(
    provider: &dyn PaymentProvider,
    call: &Call,
    payment_id: &str,
) -> Result<Search<Outcome>, Fault> {
    let found = provider.find_whole_refund(call, payment_id).await?;
    Ok(found_refund(found))
}

fn found_refund(search: Search<Refund>) -> Search<Outcome> {
    match search {
        Search::Found(refund) => Search::Found(of(refund)),
        Search::Nothing => Search::Nothing,
        Search::CutOff => Search::CutOff,
    }
}

fn of(refund: Refund) -> Outcome {
    match refund.status {
        RefundStatus::Succeeded => Outcome::Refunded {
            refund_id: refund.id,
            amount: refund.amount,
        },
        RefundStatus::Pending => Outcome::Unknown {
            detail: "the refund is on its way".into(),
            reachable: true,
            after: None,
        },
        RefundStatus::Failed { reason } => Outcome::RefundFailed {
            refund_id: refund.id,
            amount: refund.amount,
            code: reason,
            message: "the refund failed".into(),
        },
    }
}
