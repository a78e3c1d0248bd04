//! The call that an open effect stands for: what it is about, under which key, and since when, from the histories alone.

use domain::fulfilment::{Fulfilment, Saga, Step};
use domain::payment;
use event_schema::ids::{EffectId, OrderId};
use event_schema::order::PaymentMethod;
use event_schema::{Decider, EventSet, Money, Position, Recorded, Subject, Timestamp, Version};
use event_store::Freshness;
use uuid::Uuid;

use super::Context;
use super::failure::Failure;
use crate::effect::{Means, Task};
use crate::provider::Call;

/// Most payments that are looked at because callbacks name them.
const TOLD_PAYMENTS_MAX: usize = 3;

/// When an effect's intent was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Intent {
    /// For the first time.
    pub(super) first: Timestamp,
    /// Again, because a person had it tried again.
    last: Timestamp,
}

impl Intent {
    /// One that was recorded once.
    pub(super) const fn now(at: Timestamp) -> Self {
        Self {
            first: at,
            last: at,
        }
    }
}

/// Finds an effect's intent in the headers of the saga's history.
pub(super) async fn intent(
    context: &Context,
    order: Uuid,
    effect: EffectId,
    at_least: Position,
) -> Result<Intent, Failure> {
    let subject = Subject::history(<Fulfilment as Decider>::Event::AGGREGATE, order);
    let store = context.executor.store();
    let fresh = Freshness::AtLeast(at_least);
    let history = store.load(&subject, Version::NONE, None, fresh).await?;
    let is_it = |event: &&Recorded| {
        event.event_type == "fulfilment.intended"
            && event.saga.as_ref().and_then(|saga| saga.effect_id) == Some(effect)
    };
    let mut intents = history.events.iter().filter(is_it);
    let first = intents.next().ok_or_else(|| {
        Failure::Poisoned(format!("the history has no intent of the effect {effect}"))
    })?;
    let last = intents.next_back().unwrap_or(first);
    Ok(Intent {
        first: first.metadata.occurred_at,
        last: last.metadata.occurred_at,
    })
}

/// Payments that the provider's callbacks have named as this order's, the newest first.
pub(super) async fn told_payments(
    context: &Context,
    order: Uuid,
    at_least: Position,
) -> Result<Vec<String>, Failure> {
    let subject = Subject::history(payment::Event::AGGREGATE, order);
    let store = context.executor.store();
    let fresh = Freshness::AtLeast(at_least);
    let history = store.load(&subject, Version::NONE, None, fresh).await?;
    let mut told = Vec::new();
    for event in history.events.iter().rev() {
        if told.len() >= TOLD_PAYMENTS_MAX {
            break;
        }
        let read = payment::Event::decode(&event.event_type, event.schema_version, &event.payload);
        if let Ok(payment::Event::CallbackRecorded(callback)) = read
            && let Some(id) = callback.provider_payment_id
            && !told.contains(&id)
        {
            told.push(id);
        }
    }
    Ok(told)
}

/// What the histories know of an order's money.
pub(super) struct Asked<'a> {
    pub(super) order: OrderId,
    pub(super) saga: &'a Saga,
    pub(super) payment: &'a payment::State,
    /// What set the money aside, for the step that lets it go.
    pub(super) authorisation: Option<(EffectId, Intent)>,
    /// Payments that callbacks have named, while none is recorded.
    pub(super) told: Vec<String>,
}

impl Asked<'_> {
    /// A step's call and what it is about.
    pub(super) fn for_step(
        &self,
        step: Step,
        effect: EffectId,
        intent: Intent,
    ) -> Result<(Call, Task), Failure> {
        let total = self.saga.total;
        let of = |amount| self.call(step, effect, intent, amount);
        Ok(match step {
            Step::Authorise => (of(total), Task::Authorise(self.means_of(effect))),
            Step::Capture => {
                let payment_id = self.payment_id(step)?;
                (of(total), Task::Capture { payment_id })
            }
            Step::Refund => {
                let amount = self.payment.refundable().unwrap_or(total);
                let payment_id = self.payment_id(step)?;
                (of(amount), Task::Refund { payment_id })
            }
            Step::Void => {
                let (effect, intent) = self.authorisation.ok_or_else(|| {
                    Failure::Poisoned("void is due, and nothing was ever asked for".into())
                })?;
                let task = Task::Void {
                    authorisation: self.call(Step::Authorise, effect, intent, total),
                    means: self.means(),
                };
                (of(total), task)
            }
            Step::Hold | Step::Commit | Step::Release => {
                return Err(Failure::Poisoned(format!(
                    "{step} is done inside, and is open nevertheless"
                )));
            }
        })
    }

    fn call(&self, step: Step, effect: EffectId, intent: Intent, amount: Money) -> Call {
        let record = self.saga.step(step);
        let record = record.filter(|record| record.effect_id == Some(effect));
        let refusals = record.map_or(0, |record| record.refusals);
        let told = match step {
            Step::Authorise => self.told.clone(),
            Step::Hold
            | Step::Capture
            | Step::Commit
            | Step::Void
            | Step::Release
            | Step::Refund => Vec::new(),
        };
        Call {
            refusals,
            told,
            // After a refusal the key is a new one, first used with the latest intent.
            key_since: if refusals == 0 {
                intent.first
            } else {
                intent.last
            },
            ..Call::new(self.order, effect, amount, intent.first)
        }
    }

    fn payment_id(&self, step: Step) -> Result<String, Failure> {
        let id = self.payment.provider_payment_id.clone();
        id.ok_or_else(|| Failure::Poisoned(format!("{step} is due, and no payment is recorded")))
    }

    /// The payment that is known may be another opening's: what an older one made is searched by its own reference.
    fn means_of(&self, effect: EffectId) -> Means {
        let newest = self
            .saga
            .step(Step::Authorise)
            .and_then(|step| step.effect_id);
        match (&self.saga.method, newest == Some(effect)) {
            (_, true) => self.means(),
            (PaymentMethod::Card { token }, false) => Means::Card {
                token: token.clone(),
                payment_id: None,
            },
            (PaymentMethod::Checkout, false) => Means::Checkout { session_id: None },
        }
    }

    fn means(&self) -> Means {
        match &self.saga.method {
            PaymentMethod::Card { token } => Means::Card {
                token: token.clone(),
                payment_id: self.payment.provider_payment_id.clone(),
            },
            PaymentMethod::Checkout => Means::Checkout {
                session_id: self.payment.session_id.clone(),
            },
        }
    }
}
