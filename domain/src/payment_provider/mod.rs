//! A payment provider in the shop's register: how it is shown, and whether new orders may use it.

mod set;
mod state;

use event_schema::Decider;
pub use event_schema::payment_provider::Event;

use crate::command_set::command_set;

pub use set::Set;
pub use state::{Provider, State};

command_set! {
    /// What may be asked of a provider.
    pub enum Command {
        /// It is shown and used like this.
        Set,
    }
}

/// Why a command on a provider is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// People choose by the title.
    #[error("a payment provider needs a title")]
    TitleMissing,
}

/// The decider of a payment provider.
pub struct PaymentProvider;

impl Decider for PaymentProvider {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    const SHAPE: u32 = 1;

    fn initial() -> State {
        State::NotSet
    }

    fn evolve(_: State, event: &Event) -> State {
        State::evolved(event)
    }

    fn decide(state: &State, command: Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Set(set) => set.decide(state),
        }
    }
}
