//! A stray callback: signed by the provider, about no order that exists here. Kept once, so that a person finds it.

mod receive;

use event_schema::Decider;
pub use event_schema::stray_callback::Event;
use serde::{Deserialize, Serialize};

use crate::command_set::command_set;

pub use receive::Receive;

command_set! {
    /// What may be asked of a stray callback.
    pub enum Command {
        /// Keep it.
        Receive,
    }
}

/// Keeping a callback is never refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {}

/// Whether the callback is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Never seen.
    Unseen,
    /// Kept.
    Kept,
}

/// The decider of a stray callback.
pub struct StrayCallback;

impl Decider for StrayCallback {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    const SHAPE: u32 = 1;

    fn initial() -> State {
        State::Unseen
    }

    fn evolve(_state: State, event: &Event) -> State {
        match event {
            Event::Received(_) => State::Kept,
        }
    }

    fn decide(state: &State, command: Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Receive(receive) => receive.decide(state),
        }
    }
}
