//! An offer: one partner's price for one product. Set, set again, removed, set again.

mod remove;
mod set;
mod state;

use event_schema::Decider;
pub use event_schema::offer::Event;

use crate::command_set::command_set;

pub use remove::Remove;
pub use set::Set;
pub use state::{Offered, State};

command_set! {
    /// What may be asked of an offer.
    pub enum Command {
        /// The partner sells the product at a price.
        Set,
        /// The partner does not sell it any more.
        Remove,
    }
}

/// Why a command on an offer is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Nothing is given away: the smallest price is one minor unit.
    #[error("the price must be at least one minor unit")]
    PriceTooLow,
}

/// The decider of an offer.
pub struct Offer;

impl Decider for Offer {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    const SHAPE: u32 = 1;

    fn initial() -> State {
        State::NotSet
    }

    fn evolve(state: State, event: &Event) -> State {
        state.evolve(event)
    }

    fn decide(state: &State, command: Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Set(set) => set.decide(state),
            Command::Remove(remove) => remove.decide(state),
        }
    }
}
