//! The stuck effect again, under the same effect id and with a fresh budget.

use event_schema::fulfilment::{self as event, Outcome, Step};

use super::{OperatorRejection, waiting};
use crate::fulfilment::draft::Draft;
use crate::fulfilment::{Place, Rejection, capture};

pub(super) fn decide(
    draft: &mut Draft<'_>,
    step: Option<Step>,
    ordered: event::OperatorCommanded,
) -> Result<(), Rejection> {
    let stuck = waiting(draft, step)?;
    let step = stuck.step;
    let ordered = event::OperatorCommanded {
        step: Some(step),
        ..ordered
    };
    if draft.saga.place(step) == Place::Inside {
        draft.accept(ordered);
        return capture::sell(draft);
    }
    let refused = draft
        .saga
        .step(step)
        .filter(|record| record.outcome == Some(Outcome::Refused))
        .and_then(|record| Some((record.effect_id?, record.opening)));
    let open = stuck.open.map(|open| (open.effect_id, open.opening));
    let Some((effect_id, opening)) = open.or(refused) else {
        return Err(OperatorRejection::NothingToRetry { step }.into());
    };
    draft.accept(ordered);
    draft.intend_again(step, effect_id, opening);
    Ok(())
}
