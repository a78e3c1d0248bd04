//! What a saga waits for, since when, and what comes next by itself.

use event_schema::Timestamp;
use event_schema::fulfilment::{Cause, Outcome, Step};

use super::spans::{ago, ahead, moment, span};
use crate::fulfilment::operator::list;
use crate::fulfilment::{Pending, Phase, Policy, Saga, Stage, Stuck};

pub(super) fn waits(saga: &Saga, since: Timestamp, now: Timestamp, policy: &Policy) -> Vec<String> {
    if let Some(Stuck {
        step,
        cause,
        detail,
        ..
    }) = &saga.stuck
    {
        let told = match cause {
            Cause::PaymentUnknown | Cause::RetriesExhausted => {
                "Nothing is asked any more; a callback about it is still looked into."
            }
            Cause::RefundRefused
            | Cause::VoidRefused
            | Cause::AmountMismatch
            | Cause::Poisoned
            | Cause::VersionUnsupported => "Nothing happens by itself.",
        };
        return vec![format!(
            "It needs a person since {} ({}), for {step}: {} ({detail}). {told}",
            moment(since),
            ago(since, now),
            cause.as_str()
        )];
    }
    let Some(pending) = &saga.pending else {
        return vec![];
    };
    let Pending {
        step,
        attempt,
        phase,
        ..
    } = pending;
    let mut told = vec![match phase {
        Phase::InFlight { until } => format!(
            "It waits for the provider's answer to {step} (try {attempt}), since {} ({}). If none is recorded by {}, the outcome counts as unknown and is looked up; it is never taken for a failure.",
            moment(since),
            ago(since, now),
            moment(*until)
        ),
        Phase::Backoff { until } => format!(
            "It waits to look {step} up again (try {attempt}), since {} ({}); that happens by itself at {} ({}).",
            moment(since),
            ago(since, now),
            moment(*until),
            ahead(*until, now)
        ),
        Phase::AwaitingCustomer { until } => format!(
            "It waits for the customer to pay on the provider's page, since {} ({}). At {} ({}) the order is called off by itself.",
            moment(since),
            ago(since, now),
            moment(*until),
            ahead(*until, now)
        ),
    }];
    if matches!(phase, Phase::Backoff { .. }) {
        told.push(patience(saga, pending, policy));
    }
    told
}

/// How much of its budget an open effect has left.
fn patience(saga: &Saga, pending: &Pending, policy: &Policy) -> String {
    let told_later = saga
        .step(pending.step)
        .is_some_and(|record| record.outcome == Some(Outcome::Retry));
    let budget = match (told_later, saga.is_compensation(pending.step)) {
        (false, _) => policy.unknown_budget,
        (true, false) => policy.retry_budget,
        (true, true) => policy.compensation_retry_budget,
    };
    let used = std::time::Duration::from_millis(pending.budget_used_ms);
    format!(
        "A person is told after {} more in which the provider can be reached and does not tell; an outage does not count.",
        span(i64::try_from(budget.saturating_sub(used).as_secs()).unwrap_or(i64::MAX))
    )
}

/// What follows by itself when what it waits for is there.
pub(super) fn next(saga: &Saga) -> Option<String> {
    let open = saga.pending.as_ref()?.step;
    match &saga.stage {
        Stage::Running => Some(
            match open {
                Step::Authorise => "Then its units are held, all or none, and the money is taken; if that is not possible, the money is let go and the order is cancelled.",
                Step::Capture => "Then its units are sold and the order is confirmed; if the money is refused for good, everything is put back.",
                Step::Hold | Step::Commit | Step::Void | Step::Release | Step::Refund => {
                    "Then it goes on by itself."
                }
            }
            .into(),
        ),
        Stage::Unwinding(unwinding) => {
            let after: Vec<Step> = unwinding
                .due
                .iter()
                .copied()
                .filter(|due| *due != open)
                .collect();
            Some(match after.as_slice() {
                [] => "Then the order is cancelled and the saga is compensated; if it is refused for good, a person is told.".into(),
                due => format!("Then {} follow, and the order is cancelled.", list(due)),
            })
        }
        Stage::Completed | Stage::Compensated { .. } | Stage::Closed(_) => None,
    }
}
