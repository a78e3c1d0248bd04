//! A try that did not end its step: looked up or asked again after a pause, within a budget, then a person is told.

use std::time::Duration;

use event_schema::fulfilment::{self as event, Cause, Outcome, Step};
use event_schema::order::CancelReason;

use super::draft::{Draft, cut};
use super::policy::{after, elapsed};
use super::{Pending, Phase, Rejection};
use crate::payment;

/// How often a step is opened under a new effect id.
const MOST_OPENINGS: u32 = 5;

/// Certainly not done: asked again.
pub(super) fn retry(
    draft: &mut Draft<'_>,
    open: &Pending,
    retry_after: Option<Duration>,
    detail: &str,
    reachable: bool,
) -> Result<(), Rejection> {
    let budget = if draft.saga.is_compensation(open.step) {
        draft.policy.compensation_retry_budget
    } else {
        draft.policy.retry_budget
    };
    let ended = Ended {
        outcome: Outcome::Retry,
        exhausted: Cause::RetriesExhausted,
        budget,
        retry_after,
        reachable,
    };
    ended.record(draft, open, detail);
    Ok(())
}

/// Nobody knows: looked up.
pub(super) fn unknown(
    draft: &mut Draft<'_>,
    open: &Pending,
    retry_after: Option<Duration>,
    detail: &str,
    reachable: bool,
) -> Result<(), Rejection> {
    let budget = draft.policy.unknown_budget;
    let ended = Ended {
        outcome: Outcome::Unknown,
        exhausted: Cause::PaymentUnknown,
        budget,
        retry_after,
        reachable,
    };
    if ended.record(draft, open, detail) {
        draft.payment(payment::MarkUnknown {
            step: open.step.as_str().to_owned(),
            detail: cut(detail),
        })?;
    }
    Ok(())
}

/// The call provably never happened and its key is spent: opened under a new one, so often and no more.
pub(super) fn open_anew(
    draft: &mut Draft<'_>,
    open: &Pending,
    detail: &str,
) -> Result<(), Rejection> {
    if is_repeat(draft, open) {
        return Ok(());
    }
    let openings = open
        .opening
        .saturating_sub(open.first_opening)
        .saturating_add(1);
    if openings >= MOST_OPENINGS {
        let detail = format!("opened {openings} times, each time in vain: {detail}");
        draft.need_operator(open.step, Cause::RetriesExhausted, &detail);
        return Ok(());
    }
    draft.intend(open.step)
}

/// The moment has come that the saga waited for.
pub(super) fn deadline_passed(draft: &mut Draft<'_>) -> Result<(), Rejection> {
    let Some(open) = draft.saga.pending.clone() else {
        return Ok(());
    };
    if draft.now < open.phase.until() {
        return Ok(());
    }
    match open.phase {
        // Nobody told what became of the call. Whether the provider could be reached is not known either, so this
        // costs nothing of the budget.
        Phase::InFlight { .. } => {
            unknown(draft, &open, None, "no answer was recorded in time", false)
        }
        // The next try is due; what comes of it is an input of its own.
        Phase::Backoff { .. } => Ok(()),
        Phase::AwaitingCustomer { .. } => draft.unwind(CancelReason::PaymentExpired, None),
    }
}

/// Whether this try's end is recorded already: its pause is not over, or a person has been told.
fn is_repeat(draft: &Draft<'_>, open: &Pending) -> bool {
    let pausing = match open.phase {
        Phase::Backoff { until } => draft.now < until,
        Phase::InFlight { .. } | Phase::AwaitingCustomer { .. } => false,
    };
    pausing || draft.saga.stuck.is_some()
}

struct Ended {
    outcome: Outcome,
    exhausted: Cause,
    budget: Duration,
    retry_after: Option<Duration>,
    reachable: bool,
}

impl Ended {
    /// Records the try's end and the next try, or that the budget is used up. False: it was recorded before.
    fn record(self, draft: &mut Draft<'_>, open: &Pending, detail: &str) -> bool {
        if is_repeat(draft, open) {
            return false;
        }
        let pause = draft.policy.backoff(open.attempt, self.retry_after);
        let mut used = Duration::from_millis(open.budget_used_ms);
        if self.reachable {
            used = used.saturating_add(self.took(draft, open));
            if used >= self.budget {
                let detail = format!("{} tries, the last one: {detail}", open.attempt);
                draft.need_operator(open.step, self.exhausted, &detail);
                return true;
            }
            // The pause counts beforehand: what is recorded must not depend on when somebody comes back to it. While an
            // outcome is unknown, a pause that the provider asks for is time in which it was not to be asked.
            let counted = match self.outcome {
                Outcome::Unknown => draft.policy.backoff(open.attempt, None),
                Outcome::Ok | Outcome::Refused | Outcome::Retry => pause,
            };
            used = used.saturating_add(counted);
        }
        draft.end_attempt(event::AttemptEnded {
            step: open.step,
            effect_id: open.effect_id,
            attempt: open.attempt,
            outcome: self.outcome,
            detail: cut(detail),
            budget_used_ms: u64::try_from(used.as_millis()).unwrap_or(u64::MAX),
            deadline: after(draft.now, pause),
        });
        true
    }

    /// How long the try took, at most as long as a try may take: time in which nobody was here does not count.
    fn took(&self, draft: &Draft<'_>, open: &Pending) -> Duration {
        let longest = draft.policy.answer_deadline;
        match open.phase {
            Phase::InFlight { until } => longest
                .saturating_sub(elapsed(draft.now, until))
                .min(longest),
            Phase::Backoff { until } => elapsed(until, draft.now).min(longest),
            Phase::AwaitingCustomer { .. } => Duration::ZERO,
        }
    }
}

/// The step as text for a person.
pub(super) fn asked_and_told(
    step: Step,
    asked: event_schema::Money,
    told: event_schema::Money,
) -> String {
    format!("{step}: {asked} were asked for, the provider names {told}")
}
