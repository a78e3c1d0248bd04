//! A saga in sentences: what happened, what it waits for, since when, what comes next by itself, and what a person may
//! do about it.

mod choices;
mod spans;
mod waits;

use event_schema::fulfilment::{Outcome, Step};
use event_schema::order::{CancelReason, PaymentMethod};
use event_schema::{Money, Timestamp};

use super::operator::list;
use super::{Place, Policy, Saga, Stage, State, StepRecord, StepState, Unwinding};
use crate::payment;

pub use choices::{Choice, you_may};
use waits::{next, waits};

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
