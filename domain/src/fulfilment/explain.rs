//! A saga in sentences: what happened, what it waits for, since when, what comes next by itself, and what a person may
//! do about it.

use event_schema::fulfilment::{Cause, OperatorVerb, Outcome, Step};
use event_schema::order::{CancelReason, PaymentMethod};
use event_schema::{Money, Timestamp};

use super::operator::list;
use super::{
    Pending, Phase, Place, Policy, Saga, Stage, State, StepRecord, StepState, Stuck, Unwinding,
};
use crate::payment;

/// A command that a person may give now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Which.
    pub command: OperatorVerb,
    /// About which step, if about one.
    pub step: Option<Step>,
    /// What it would do, in a sentence that begins after "it would".
    pub would: String,
}

/// The saga in sentences, the oldest fact first; nothing if it was never started. `since`: when its last event happened.
pub fn explain(
    saga: &State,
    payment: &payment::State,
    since: Timestamp,
    now: Timestamp,
    policy: &Policy,
) -> Vec<String> {
    let Some(saga) = saga.saga() else {
        return vec![];
    };
    let mut told = vec![began(saga)];
    told.extend(saga.steps.iter().map(|record| step(saga, record)));
    told.extend(saga.commands.iter().map(|command| {
        let step = command
            .step
            .map_or_else(String::new, |step| format!(" {step}"));
        let known = command
            .evidence
            .as_ref()
            .map_or_else(String::new, |evidence| format!(" (evidence: {evidence})"));
        format!(
            "An operator ordered: {}{step}, because \"{}\"{known}.",
            command.command, command.reason
        )
    }));
    told.extend(direction(saga));
    told.extend(money(saga, payment));
    told.extend(stock(saga));
    told.extend(saga.late.iter().map(|late| {
        format!(
            "After it was closed the provider told: {}. That is in the books and changed nothing else.",
            late.detail
        )
    }));
    told.extend(waits(saga, since, now, policy));
    told.extend(next(saga));
    told
}

fn began(saga: &Saga) -> String {
    let how = match &saga.method {
        PaymentMethod::Card { .. } => "by card",
        PaymentMethod::Checkout => "on the provider's page",
    };
    let lines = match saga.lines.len() {
        1 => "one product".to_owned(),
        n => format!("{n} products"),
    };
    format!(
        "The order asks for {} {how} at {} and for {lines}; its saga runs as {}.",
        saga.total, saga.provider, saga.def
    )
}

fn step(saga: &Saga, record: &StepRecord) -> String {
    let StepRecord { step, tries, .. } = record;
    let tries = match tries {
        0 => "no try has ended".to_owned(),
        1 => "1 try".to_owned(),
        n => format!("{n} tries"),
    };
    let detail = record
        .detail
        .as_ref()
        .map_or_else(String::new, |detail| format!(": {detail}"));
    match (record.state, saga.place(*step)) {
        (StepState::Done, Place::Provider) => format!("{step} is done after {tries}{detail}."),
        (StepState::Done, Place::Inside) => format!("{step} is done{detail}."),
        (StepState::Refused, Place::Provider) => {
            format!("{step} was refused for good after {tries}{detail}.")
        }
        (StepState::Refused, Place::Inside) => format!("{step} was not possible{detail}."),
        (StepState::Overtaken, _) => format!(
            "{step} was left when the saga turned back; whatever still comes of it is put back."
        ),
        (StepState::Skipped, _) => format!("{step} was settled outside, by an operator's word."),
        (StepState::Stuck, _) if saga.has_ended() => {
            format!("{step} was stuck when it ended{detail}.")
        }
        (StepState::Stuck, _) => format!("{step} is stuck{detail}."),
        (StepState::Open, _) => {
            let last = match record.outcome {
                Some(Outcome::Unknown) => format!(", the last with an unknown outcome{detail}"),
                Some(Outcome::Retry) => format!(", and was told to come back later{detail}"),
                Some(Outcome::Ok | Outcome::Refused) | None => String::new(),
            };
            format!("{step} is under way, {tries}{last}.")
        }
    }
}

fn why(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::PaymentDeclined => "the payment was declined",
        CancelReason::PaymentExpired => "it was not paid in time",
        CancelReason::OutOfStock => "something was sold out",
        CancelReason::CustomerCancelled => "the customer cancelled",
        CancelReason::OperatorAborted => "an operator called it off",
    }
}

fn direction(saga: &Saga) -> Option<String> {
    match &saga.stage {
        Stage::Running if saga.is_past_no_return() => Some(
            "It is past the point of no return: it goes forward unless the provider refuses the money for good.".into(),
        ),
        Stage::Running => None,
        Stage::Unwinding(Unwinding { reason, plan, .. }) => Some(format!(
            "It puts everything back, because {}. The plan was frozen then: {}.",
            why(*reason),
            list(plan)
        )),
        Stage::Completed => Some("It is completed: everything was done.".into()),
        Stage::Compensated { reason } => Some(format!(
            "It is compensated, because {}: everything was put back.",
            why(*reason)
        )),
        Stage::Closed(ending) => {
            let left = match ending.left_due.as_slice() {
                [] => "Nothing is left due.".to_owned(),
                due => format!("Left due, for people to see to: {}.", list(due)),
            };
            Some(format!(
                "An operator closed it, because \"{}\". {left}",
                ending.reason
            ))
        }
    }
}

fn money(saga: &Saga, payment: &payment::State) -> Option<String> {
    let (ledger, outside) = (payment.ledger()?, payment.outside()?);
    let none = Money::zero(saga.total.currency);
    let kept = ledger.captured.minus(ledger.refunded).unwrap_or(none);
    let set_aside = payment.capturable().unwrap_or(none);
    let mut told = match (kept == none, set_aside == none) {
        (true, true) if ledger.captured == none => "No money is set aside or taken".to_owned(),
        (true, true) => format!("{} were taken and given back", ledger.captured),
        (true, false) => format!("{set_aside} are set aside and not taken"),
        (false, _) => format!(
            "{} were taken and {} given back",
            ledger.captured, ledger.refunded
        ),
    };
    if outside.received != none {
        told += &format!("; {} came by other means", outside.received);
    }
    if outside.returned != none {
        told += &format!("; {} went back by other means", outside.returned);
    }
    let owed = kept.minus(outside.returned).unwrap_or(kept);
    let turned_back = match &saga.stage {
        Stage::Unwinding(_) | Stage::Compensated { .. } => true,
        Stage::Closed(ending) => ending.called_off.is_some(),
        Stage::Running | Stage::Completed => false,
    };
    if turned_back && owed.amount > 0 {
        told += &format!(": {owed} are owed to the customer");
    }
    Some(told + ".")
}

fn stock(saga: &Saga) -> Option<String> {
    let done = |step| {
        saga.step(step)
            .is_some_and(|record| record.state == StepState::Done)
    };
    if done(Step::Commit) {
        return Some("Its units are sold to it.".into());
    }
    if done(Step::Hold) && !done(Step::Release) && !saga.has_ended() {
        return Some("Its units are held for it.".into());
    }
    None
}

fn waits(saga: &Saga, since: Timestamp, now: Timestamp, policy: &Policy) -> Vec<String> {
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
fn next(saga: &Saga) -> Option<String> {
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

/// What a person may order now, and what each would do.
pub fn you_may(saga: &State) -> Vec<Choice> {
    let Some(saga) = saga.saga() else {
        return vec![];
    };
    let mut choices = vec![];
    if let Some(stuck) = &saga.stuck {
        about_stuck(saga, stuck, &mut choices);
    }
    if matches!(saga.stage, Stage::Running) && !saga.is_past_no_return() {
        choices.push(Choice {
            command: OperatorVerb::Abort,
            step: None,
            would: match saga.plan().as_slice() {
                [] => "call the order off".into(),
                plan => format!("call the order off and put everything back: {}", list(plan)),
            },
        });
    }
    if saga.stuck.is_some() {
        let left: Vec<Step> = saga
            .due()
            .into_iter()
            .filter(|due| saga.place(*due) == Place::Provider)
            .collect();
        choices.push(Choice {
            command: OperatorVerb::Close,
            step: None,
            would: format!(
                "put back what needs no provider and end the saga as closed, with {} left due",
                list(&left)
            ),
        });
    }
    choices
}

fn about_stuck(saga: &Saga, stuck: &Stuck, choices: &mut Vec<Choice>) {
    let step = stuck.step;
    let mut may = |command, would: String| {
        choices.push(Choice {
            command,
            step: Some(step),
            would,
        });
    };
    let inside = saga.place(step) == Place::Inside;
    let refused = matches!(stuck.cause, Cause::RefundRefused | Cause::VoidRefused);
    if inside {
        may(OperatorVerb::Retry, format!("try {step} again"));
    } else if stuck.open.is_some() || refused {
        may(
            OperatorVerb::Retry,
            format!(
                "ask the provider for {step} again under the same effect id, with a fresh budget"
            ),
        );
    }
    let (done, refused_for_good) = match step {
        Step::Authorise => (
            Some("go on with holding the units and taking the money"),
            Some("end the order as cancelled, payment declined"),
        ),
        Step::Capture => (
            Some("sell the units and confirm the order"),
            Some("put the units back, let the money go and cancel the order"),
        ),
        Step::Commit => (
            None,
            Some("put back what is held, give the money back and cancel the order"),
        ),
        Step::Void | Step::Refund if refused => {
            (Some("cancel the order with everything put back"), None)
        }
        Step::Void | Step::Refund => (
            Some("cancel the order with everything put back"),
            Some("stay with a person, known to be refused"),
        ),
        Step::Hold | Step::Release => (None, None),
    };
    for (word, would) in [("ok", done), ("refused", refused_for_good)] {
        if let Some(would) = would {
            may(
                OperatorVerb::Resolve,
                format!("with outcome {word}: {would}"),
            );
        }
    }
    let settled = match step {
        Step::Authorise | Step::Capture => {
            Some("count the money as received by other means, sell the units, confirm the order")
        }
        Step::Commit => Some("sell what is still held and confirm the order"),
        Step::Void | Step::Refund => {
            Some("count the money as settled by other means, cancel the order")
        }
        Step::Hold | Step::Release => None,
    };
    if let Some(settled) = settled {
        may(
            OperatorVerb::Skip,
            format!("{settled} and end the saga as closed"),
        );
    }
}

fn moment(at: Timestamp) -> String {
    format!("{at:.0}")
}

fn ago(since: Timestamp, now: Timestamp) -> String {
    match now.duration_since(since).as_secs() {
        ..=0 => "just now".into(),
        seconds => format!("{} ago", span(seconds)),
    }
}

fn ahead(until: Timestamp, now: Timestamp) -> String {
    match until.duration_since(now).as_secs() {
        ..=0 => "now".into(),
        seconds => format!("in {}", span(seconds)),
    }
}

/// A span as people say it, in its two largest units.
fn span(seconds: i64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let mut left = seconds.max(0);
    let mut parts = vec![];
    for (unit, size) in units {
        let count = left / size;
        left %= size;
        if count > 0 {
            parts.push(format!("{count} {unit}"));
        }
    }
    match parts.as_slice() {
        [] => "0 s".into(),
        parts => parts.iter().take(2).cloned().collect::<Vec<_>>().join(" "),
    }
}
