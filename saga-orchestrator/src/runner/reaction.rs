//! One input of the saga, decided over everything it touches, as one group of events.

use std::collections::BTreeMap;

use domain::fulfilment::{
    self, Decision, Fulfilment, Input, Policy, Rejection, Step, World, react,
};
use domain::inventory::Inventory;
use domain::order::Order;
use domain::payment::Payment;
use event_schema::Timestamp;
use event_schema::ids::{CommandId, EffectId, OrderId, derived};
use event_store::{Halt, Stop, Work};
use uuid::Uuid;

/// The reaction over everything it touches; answers the effect that it intends, if it does.
pub(super) fn decide(
    work: &mut Work,
    order: Uuid,
    input: &Input,
    now: Timestamp,
    policy: &Policy,
) -> Result<Option<EffectId>, Stop<Rejection>> {
    let decision = over(work, order, |world| {
        react(world, input.clone(), now, policy)
    })?;
    let intended = decision.saga.iter().rev().find_map(|event| match event {
        fulfilment::Event::Intended(intended) => Some(intended.effect_id),
        _ => None,
    });
    record(work, order, decision)?;
    Ok(intended)
}

/// Decides something over the saga and everything that it touches. The stock is read only if the decision asks for it:
/// every state that is read must still hold when the batch is stored.
pub(crate) fn over<T>(
    work: &mut Work,
    order: Uuid,
    decide: impl Fn(&World<'_>) -> Result<T, Rejection>,
) -> Result<T, Stop<Rejection>> {
    work.prefetch::<Order>(&[order]);
    work.prefetch::<Payment>(&[order]);
    let saga = work.state::<Fulfilment>(order)?;
    let order_state = work.state::<Order>(order)?;
    let payment = work.state::<Payment>(order)?;
    let mut stock = BTreeMap::new();
    loop {
        let world = World {
            order_id: OrderId(order),
            saga: &saga,
            order: &order_state,
            payment: &payment,
            stock: &stock,
        };
        match decide(&world) {
            Err(Rejection::StockNotLoaded { .. }) if stock.is_empty() => {
                let lines = saga.saga().map_or(&[][..], |saga| &saga.lines);
                let ids: Vec<Uuid> = lines.iter().map(|line| line.product_id.uuid()).collect();
                let states = work.states::<Inventory>(&ids)?;
                stock = lines
                    .iter()
                    .map(|line| line.product_id)
                    .zip(states)
                    .map(|(id, state)| (id, state.as_ref().clone()))
                    .collect();
            }
            decided => return decided.map_err(Stop::Rejected),
        }
    }
}

/// Records a decision with this group.
pub(crate) fn record(work: &mut Work, order: Uuid, decision: Decision) -> Result<(), Halt> {
    work.record::<Fulfilment>(order, decision.saga)?;
    work.record::<Order>(order, decision.order)?;
    work.record::<Payment>(order, decision.payment)?;
    for (product, events) in decision.stock {
        work.record::<Inventory>(product.uuid(), events)?;
    }
    Ok(())
}

/// The same for every try to record the same thing, so that a repeat is recognised in the log.
pub(super) fn command_id(
    order: Uuid,
    step: Step,
    effect: EffectId,
    attempt: u32,
    input: &Input,
) -> CommandId {
    let kind = match input {
        Input::Answered { answer, .. } => answer.name(),
        Input::CancelRequested { .. } => "cancel",
        Input::DeadlinePassed => "deadline",
        Input::HoldExpired => "hold_expired",
        Input::Commanded(command) => command.action.verb().as_str(),
    };
    let parts = [
        "saga",
        &order.to_string(),
        step.as_str(),
        &effect.to_string(),
        &attempt.to_string(),
        kind,
    ];
    CommandId(derived(&parts))
}

#[cfg(test)]
mod tests {
    use domain::fulfilment::Answer;

    use super::*;

    #[test]
    fn the_same_answer_to_the_same_try_is_the_same_command() {
        let (order, effect) = (Uuid::from_u128(1), EffectId(Uuid::from_u128(2)));
        let answered = |answer| Input::Answered {
            step: Step::Void,
            effect_id: effect,
            answer,
        };
        let id =
            |attempt, answer| command_id(order, Step::Void, effect, attempt, &answered(answer));
        assert_eq!(id(1, Answer::Voided), id(1, Answer::Voided));
        assert_ne!(id(1, Answer::Voided), id(2, Answer::Voided));
        assert_ne!(id(1, Answer::Voided), id(1, Answer::NothingToVoid));
    }
}
