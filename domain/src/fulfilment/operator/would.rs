//! The dry run: what a command would do, in sentences, decided exactly as it would be and recorded nowhere.

use event_schema::fulfilment::{Event, OperatorVerb, Outcome, Step};
use event_schema::{Decider, Timestamp};

use super::OperatorCommand;
use crate::fulfilment::{Decision, Input, Policy, Rejection, World, react};
use crate::payment::Payment;
use crate::{inventory, order, payment};

/// What a command would do.
#[derive(Debug, Clone, PartialEq)]
pub struct DryRun {
    /// In sentences that begin after "it would".
    pub would: Vec<String>,
    /// The batch that would be appended; empty when the command was carried out before.
    pub decision: Decision,
}

/// Decides a command without recording anything. A refusal is the one that the command would get.
pub fn dry_run(
    world: &World<'_>,
    command: OperatorCommand,
    now: Timestamp,
    policy: &Policy,
) -> Result<DryRun, Rejection> {
    let decision = react(world, Input::Commanded(command), now, policy)?;
    Ok(DryRun {
        would: sentences(world, &decision),
        decision,
    })
}

fn sentences(world: &World<'_>, decision: &Decision) -> Vec<String> {
    if decision.is_empty() {
        return vec!["change nothing: this command was carried out before".into()];
    }
    let name = |product: &event_schema::ids::ProductId| {
        let lines = world.order.details().map_or(&[][..], |order| &order.lines);
        lines
            .iter()
            .find(|line| line.product_id == *product)
            .map_or_else(|| product.to_string(), |line| line.name.clone())
    };
    let mut would = vec![];
    would.extend(decision.saga.iter().filter_map(of_beginning));
    would.extend(of_payment(world, &decision.payment));
    for (product, events) in &decision.stock {
        let name = name(product);
        would.extend(events.iter().filter_map(|event| of_stock(event, &name)));
    }
    would.extend(decision.order.iter().filter_map(of_order));
    would.extend(decision.saga.iter().filter_map(of_ending));
    would
}

/// What is recorded and called.
fn of_beginning(event: &Event) -> Option<String> {
    match event {
        Event::OperatorCommanded(e) => {
            let step = e.step.map_or("it", Step::as_str);
            match (e.command, e.outcome) {
                (OperatorVerb::Skip, _) => {
                    Some(format!("mark {step} as settled outside, by your word"))
                }
                (OperatorVerb::Resolve, Some(Outcome::Ok)) => {
                    Some(format!("record that {step} is done, by your word"))
                }
                (OperatorVerb::Resolve, _) => Some(format!(
                    "record that {step} is refused for good, by your word"
                )),
                (OperatorVerb::Retry | OperatorVerb::Abort | OperatorVerb::Close, _) => None,
            }
        }
        Event::UnwindingBegan(e) => Some(format!(
            "turn back for good ({}), with {} to do",
            e.reason.as_str(),
            list(&e.plan)
        )),
        Event::Started(_)
        | Event::Intended(_)
        | Event::CustomerAwaited(_)
        | Event::AttemptEnded(_)
        | Event::StepEnded(_)
        | Event::NeedsOperator(_)
        | Event::Completed(_)
        | Event::Compensated(_)
        | Event::Closed(_)
        | Event::LateOutcomeRecorded(_) => None,
    }
}

/// What it comes to.
fn of_ending(event: &Event) -> Option<String> {
    match event {
        Event::Intended(e) => Some(format!(
            "ask the provider for {} under the effect id {}, after looking it up, and go on with the answer",
            e.step, e.effect_id
        )),
        Event::NeedsOperator(e) => Some(format!(
            "need a person again at once, for {}: {} ({})",
            e.step,
            e.cause.as_str(),
            e.detail
        )),
        Event::Completed(_) => Some("end the saga as completed".into()),
        Event::Compensated(_) => Some("end the saga as compensated".into()),
        Event::Closed(e) if e.left_due.is_empty() => {
            Some("end the saga as closed, with nothing left due".into())
        }
        Event::Closed(e) => Some(format!(
            "end the saga as closed, with {} left due and nobody but people to see to it",
            list(&e.left_due)
        )),
        Event::Started(_)
        | Event::CustomerAwaited(_)
        | Event::AttemptEnded(_)
        | Event::StepEnded(_)
        | Event::UnwindingBegan(_)
        | Event::OperatorCommanded(_)
        | Event::LateOutcomeRecorded(_) => None,
    }
}

fn of_payment(world: &World<'_>, events: &[payment::Event]) -> Vec<String> {
    let mut would = vec![];
    let mut after = world.payment.clone();
    for event in events {
        after = Payment::evolve(after, event);
        let sentence = match event {
            payment::Event::Authorised(e) => {
                format!("book {} as set aside ({})", e.amount, e.provider_payment_id)
            }
            payment::Event::Captured(e) => format!("book {} as taken", e.amount),
            payment::Event::Voided(_) => "book what was set aside as let go".into(),
            payment::Event::Refunded(e) => {
                format!("book {} as given back ({})", e.amount, e.refund_id)
            }
            payment::Event::SettledOutside(e) => match after.ledger() {
                Some(ledger) => format!(
                    "leave the provider's books at {} captured and {} refunded, with {} settled by you",
                    ledger.captured, ledger.refunded, e.amount
                ),
                None => format!("record {} as settled by you", e.amount),
            },
            payment::Event::RefundFailed(e) => {
                format!("book {} as come back ({})", e.amount, e.refund_id)
            }
            payment::Event::Declined(_)
            | payment::Event::CaptureRefused(_)
            | payment::Event::VoidRefused(_)
            | payment::Event::RefundRefused(_) => "book it as refused by the provider".into(),
            payment::Event::Requested(_)
            | payment::Event::ActionRequired(_)
            | payment::Event::CaptureRequested(_)
            | payment::Event::VoidRequested(_)
            | payment::Event::RefundRequested(_)
            | payment::Event::OutcomeUnknown(_)
            | payment::Event::CallbackRecorded(_) => continue,
        };
        would.push(sentence);
    }
    would
}

fn of_stock(event: &inventory::Event, name: &str) -> Option<String> {
    match event {
        inventory::Event::Held(e) => Some(format!("hold {} of {name}", e.quantity)),
        inventory::Event::Released(e) => Some(format!("put {} of {name} back", e.quantity)),
        inventory::Event::Committed(e) => Some(format!("sell {} of {name}", e.quantity)),
        inventory::Event::Received(_)
        | inventory::Event::Adjusted(_)
        | inventory::Event::ThresholdSet(_)
        | inventory::Event::RanLow(_) => None,
    }
}

fn of_order(event: &order::Event) -> Option<String> {
    match event {
        order::Event::Confirmed(_) => Some("confirm the order".into()),
        order::Event::Cancelling(_) => Some("call the order off".into()),
        order::Event::Cancelled(_) => Some("end the order as cancelled".into()),
        // Told by the partner and the deliverer, never by an operator.
        order::Event::Placed(_)
        | order::Event::Ready(_)
        | order::Event::Assigned(_)
        | order::Event::Delivered(_) => None,
    }
}

/// Steps as people list them.
pub(in crate::fulfilment) fn list(steps: &[Step]) -> String {
    match steps {
        [] => "nothing".into(),
        [one] => one.as_str().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(|step| step.as_str()).collect();
            format!("{} and {last}", first.join(", "))
        }
    }
}
