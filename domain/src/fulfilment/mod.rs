//! The saga of one order: it either completes, or puts everything back, or tells a person. A decider too.
//!
//! | Step | Where | Kind | Made up for by |
//! |---|---|---|---|
//! | authorise | provider | compensable | void |
//! | hold | inside | compensable | release |
//! | capture | provider | pivot: its recorded intent is the point of no return | refund, if it lands after all |
//! | commit | inside | retriable | – |
//!
//! One input, one batch: [`react`] decides everything that needs no outside world at once, over the saga, the order,
//! the payment and the stock. A happy saga is three batches: placed and authorisation intended ([`start`]);
//! authorised, held and capture intended; captured, committed, confirmed and completed.
//!
//! * An intent is recorded before its effect, under an effect id that every try shares.
//! * No answer is *unknown*, never a failure: it is looked up, within a budget that counts only while the provider can
//!   be reached. Then a person is told.
//! * Once unwinding begins the plan is frozen and the direction sticks.
//! * An answer to another effect than the open one, or to a step that has ended, changes nothing; only a success that
//!   arrives after everything was put back is undone, once.
//! * A hold is taken in the batch that records the capture's intent, and from then on its expiry is a no-op; a capture
//!   refused for good puts it back at once. So a hold never expires under a running saga, and a commit never finds it
//!   gone. A hold that outlives its saga all the same is put back when its time is over.
//! * What can be put back without the provider never waits for it; then a person is told.
//! * What a person orders is an input too: [`OperatorCommand`]. A saga that a person has ended stays ended; what the
//!   provider tells later enters the books and nothing else.

mod answer;
mod attempt;
pub mod audit;
mod authorise;
mod cancel;
mod capture;
mod closed;
mod completed;
mod draft;
mod explain;
mod hold_expiry;
mod late;
mod operator;
mod policy;
mod refund;
mod start;
mod state;
mod steps;
mod view;
mod void;

use std::collections::BTreeMap;

pub use event_schema::fulfilment::{Cause, Event, Line, OperatorVerb, Outcome, Step};
use event_schema::ids::{EffectId, OrderId, ProductId};
use event_schema::order::CancelReason;
use event_schema::{Decider, SagaDef, Timestamp};

use crate::command_set::command_set;
use crate::{inventory, order, payment};

pub use answer::Answer;
pub use explain::{Choice, explain, you_may};
pub use operator::{
    Action, DryRun, OperatorCommand, OperatorRejection, Quarantine, Truth, dry_run,
};
pub use policy::Policy;
pub use start::{Start, start};
pub use state::{
    Ending, MOST_LATE_OUTCOMES, Pending, Phase, REMEMBERED_COMMANDS, Saga, Stage, State,
    StepRecord, StepState, Stuck, Unwinding,
};
pub use steps::{
    Compensation, DEFINITIONS, Definition, Kind, Place, STEPS, StepSpec, VERSION, carries,
    definition, well_formed,
};
pub use view::{Status, StepView, StockView, View, view};

use draft::Draft;

command_set! {
    /// What can be decided on the saga alone; everything else is an [`Input`] of [`react`].
    pub enum Command {
        /// Run for an order.
        Start,
    }
}

/// Why the saga does not act on an input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such saga.
    #[error("there is no such saga")]
    NotStarted,
    /// The saga runs for another order's terms.
    #[error("the saga runs already, for other terms")]
    AlreadyStarted,
    /// The capture's intent is recorded: from there it only goes forward.
    #[error("it is too late to call the order off: the money is being taken")]
    TooLate,
    /// The history runs under a definition that this build does not carry.
    #[error("the saga runs under definition {def}, which this build does not carry")]
    OtherDefinition {
        /// The definition it runs under.
        def: SagaDef,
    },
    /// The adapter gave an answer that this step cannot have.
    #[error("{answer:?} is no answer to {step}")]
    UnfitAnswer {
        /// The step that was asked.
        step: Step,
        /// The kind of answer.
        answer: &'static str,
    },
    /// The caller did not load the stock of a line's product.
    #[error("the stock of product {product_id} was not loaded")]
    StockNotLoaded {
        /// Whose stock.
        product_id: ProductId,
    },
    /// The saga would end while something is still to be put back.
    #[error("the saga cannot end: {due:?} are due")]
    CompensationDue {
        /// What is due.
        due: Vec<Step>,
    },
    /// An operator's command does not fit.
    #[error(transparent)]
    Operator(#[from] OperatorRejection),
    /// The order contradicts the saga.
    #[error("the order contradicts its saga")]
    Order(#[from] order::Rejection),
    /// The payment contradicts the saga.
    #[error("the payment contradicts its saga")]
    Payment(#[from] payment::Rejection),
    /// The stock contradicts the saga.
    #[error("the stock of product {product_id} contradicts the saga")]
    Stock {
        /// Whose stock.
        product_id: ProductId,
        /// How.
        #[source]
        rejection: inventory::Rejection,
    },
}

/// The decider of the saga's own history.
pub struct Fulfilment;

impl Decider for Fulfilment {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    const SHAPE: u32 = 2;

    fn initial() -> State {
        State::NotStarted
    }

    fn evolve(state: State, event: &Event) -> State {
        state.evolve(event)
    }

    fn decide(state: &State, command: Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Start(start) => start.decide(state),
        }
    }

    fn saga_def(state: &State) -> Option<SagaDef> {
        Some(
            state
                .saga()
                .map_or_else(definition, |saga| saga.def.clone()),
        )
    }
}

/// The states that a reaction is decided on, all of them current.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// Whose saga.
    pub order_id: OrderId,
    /// The saga.
    pub saga: &'a State,
    /// The order.
    pub order: &'a order::State,
    /// Its payment.
    pub payment: &'a payment::State,
    /// The stock of every product in its lines.
    pub stock: &'a BTreeMap<ProductId, inventory::State>,
}

/// What a saga reacts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The provider answered, or a look-up did, or nobody did.
    Answered {
        /// The step that was asked.
        step: Step,
        /// The effect that was called or looked up.
        effect_id: EffectId,
        /// What came of it.
        answer: Answer,
    },
    /// Somebody calls the order off.
    CancelRequested {
        /// Why.
        reason: CancelReason,
        /// More for people.
        detail: Option<String>,
    },
    /// The moment of [`Saga::deadline`] has come.
    DeadlinePassed,
    /// The time of the order's hold is over.
    HoldExpired,
    /// An operator orders something.
    Commanded(OperatorCommand),
}

/// The events of one batch, by aggregate. Empty: already true, nothing to append.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// The saga's events.
    pub saga: Vec<Event>,
    /// The order's events.
    pub order: Vec<order::Event>,
    /// The payment's events.
    pub payment: Vec<payment::Event>,
    /// Stock events by product; only products with events.
    pub stock: BTreeMap<ProductId, Vec<inventory::Event>>,
}

impl Decision {
    /// Whether there is nothing to append.
    pub fn is_empty(&self) -> bool {
        self.saga.is_empty()
            && self.order.is_empty()
            && self.payment.is_empty()
            && self.stock.is_empty()
    }
}

/// Decides what an input means: the events of one batch, all or none of which are appended.
pub fn react(
    world: &World<'_>,
    input: Input,
    now: Timestamp,
    policy: &Policy,
) -> Result<Decision, Rejection> {
    let Some(saga) = world.saga.saga() else {
        return Err(Rejection::NotStarted);
    };
    if !carries(&saga.def) {
        return Err(Rejection::OtherDefinition {
            def: saga.def.clone(),
        });
    }
    let mut draft = Draft::new(*world, saga, now, policy);
    match input {
        Input::Answered {
            step,
            effect_id,
            answer,
        } => answer::answered(&mut draft, step, effect_id, answer)?,
        Input::CancelRequested { reason, detail } => cancel::requested(&mut draft, reason, detail)?,
        Input::DeadlinePassed => attempt::deadline_passed(&mut draft)?,
        Input::HoldExpired => hold_expiry::passed(&mut draft)?,
        Input::Commanded(command) => operator::commanded(&mut draft, command)?,
    }
    Ok(draft.into_decision())
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod model;
#[cfg(test)]
mod provider;
#[cfg(test)]
mod stories;
