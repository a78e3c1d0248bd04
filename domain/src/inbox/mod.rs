//! Somebody's inbox: which notifications he has read and which he has taken out. What is in it is not decided here: it
//! follows from what happened to orders, stocks and accounts.

mod clear;
mod clear_all;
#[cfg(test)]
mod fixtures;
mod read;
mod state;

use event_schema::Decider;
pub use event_schema::inbox::Event;

use crate::command_set::command_set;

pub use clear::Clear;
pub use clear_all::ClearAll;
pub use read::Read;
pub use state::{REMEMBERED_MAX, State};

command_set! {
    /// What may be asked of an inbox.
    pub enum Command {
        /// A notification was read.
        Read,
        /// A notification is taken out.
        Clear,
        /// Everything up to a position is taken out.
        ClearAll,
    }
}

/// Why a command on an inbox is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It was taken out before.
    #[error("the notification is not in the inbox any more")]
    Cleared,
}

/// The decider of an inbox.
pub struct Inbox;

impl Decider for Inbox {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    const SHAPE: u32 = 1;

    fn initial() -> State {
        State::default()
    }

    fn evolve(state: State, event: &Event) -> State {
        state.evolved(event)
    }

    fn decide(state: &State, command: Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Read(read) => read.decide(state),
            Command::Clear(clear) => Ok(clear.decide(state)),
            Command::ClearAll(clear_all) => Ok(clear_all.decide(state)),
        }
    }
}
