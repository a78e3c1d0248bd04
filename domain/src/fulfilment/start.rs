//! A saga starts in the batch that places its order: the money's intent is recorded before anybody is called.

use event_schema::fulfilment::{self as event, Event, Line, Step};
use event_schema::ids::{EffectId, OrderId};
use event_schema::order::{PaymentMethod, Placed};
use event_schema::{Decider, Money, Timestamp};

use super::policy::after;
use super::{Decision, Fulfilment, Policy, Rejection, State, definition};
use crate::payment::{self, Payment};

/// Run for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Whose saga.
    pub order_id: OrderId,
    /// The provider that is asked for the money.
    pub provider: String,
    /// How the customer pays.
    pub method: PaymentMethod,
    /// How much.
    pub total: Money,
    /// What has to be held.
    pub lines: Vec<Line>,
    /// When the first call is looked into at the latest.
    pub deadline: Timestamp,
}

impl Start {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self {
            order_id,
            provider,
            method,
            total,
            lines,
            deadline,
        } = self;
        if let Some(saga) = state.saga() {
            let same = (&saga.provider, &saga.method, saga.total, &saga.lines)
                == (&provider, &method, total, &lines);
            return if same {
                Ok(vec![])
            } else {
                Err(Rejection::AlreadyStarted)
            };
        }
        let effect_id = EffectId::of(order_id, Step::Authorise.as_str(), 1);
        Ok(vec![
            event::Started {
                def: definition(),
                provider,
                method,
                total,
                lines,
            }
            .into(),
            event::Intended {
                step: Step::Authorise,
                effect_id,
                opening: 1,
                deadline,
            }
            .into(),
        ])
    }
}

/// What goes into the batch that places an order: the saga's and the payment's first events.
pub fn start(
    order_id: OrderId,
    placed: &Placed,
    provider: &str,
    now: Timestamp,
    policy: &Policy,
) -> Result<Decision, Rejection> {
    let lines = placed
        .lines
        .iter()
        .map(|line| Line {
            product_id: line.product_id,
            quantity: line.quantity,
        })
        .collect();
    let start = Start {
        order_id,
        provider: provider.to_owned(),
        method: placed.payment_method.clone(),
        total: placed.total,
        lines,
        deadline: after(now, policy.answer_deadline),
    };
    let request = payment::Request {
        provider: provider.to_owned(),
        amount: placed.total,
        method: placed.payment_method.clone(),
        effect_id: EffectId::of(order_id, Step::Authorise.as_str(), 1),
    };
    Ok(Decision {
        saga: Fulfilment::decide(&Fulfilment::initial(), start.into())?,
        payment: Payment::decide(&Payment::initial(), request.into())?,
        ..Decision::default()
    })
}
