//! What a person may order now, and what each command would do.

use event_schema::fulfilment::{Cause, OperatorVerb, Step};

use crate::fulfilment::operator::list;
use crate::fulfilment::{Place, Saga, Stage, State, Stuck};

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
