//! A customer: somebody with a role. Name and e-mail address stay sealed here; that an address belongs to one
//! customer only is guarded by its uniqueness record, appended in the same group.

mod add;
mod state;

use event_schema::Decider;
pub use event_schema::customer::Event;

use crate::command_set::command_set;

pub use add::Add;
pub use state::{Customer as Details, State};

command_set! {
    /// What may be asked of a customer.
    pub enum Command {
        /// A customer exists from now on.
        Add,
    }
}

/// Why a command on a customer is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The id belongs to another customer.
    #[error("a different customer has this id already")]
    AlreadyAdded,
}

/// The decider of a customer.
pub struct Customer;

impl Decider for Customer {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    const SHAPE: u32 = 1;

    fn initial() -> State {
        State::NotAdded
    }

    fn evolve(state: State, event: &Event) -> State {
        state.evolve(event)
    }

    fn decide(state: &State, command: Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Add(add) => add.decide(state),
        }
    }
}
