//! An agent: the settings by which some kinds of messages go out. While nobody has set an agent, the built-in ones hold;
//! one that is set takes the place of the built-in one of its name.

mod defaults;
mod set;
mod state;

use event_schema::Decider;
pub use event_schema::notification_agent::Event;

use crate::command_set::command_set;
use crate::notification::quiet;

pub use defaults::defaults;
pub use set::Set;
pub use state::{Agent, State};

command_set! {
    /// What may be asked of an agent.
    pub enum Command {
        /// It works like this.
        Set,
    }
}

/// Why a command on an agent is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// People choose by the name.
    #[error("an agent needs a name")]
    NameMissing,
    /// Each channel has one place.
    #[error("a channel is named twice")]
    ChannelTwice,
    /// Each provider has one place in its channel.
    #[error("a provider is named twice in one channel")]
    ProviderTwice,
    /// An agent that tells nothing is switched off instead.
    #[error("an active agent needs a channel")]
    ChannelMissing,
    /// The quiet hours mean nothing.
    #[error(transparent)]
    QuietHours(#[from] quiet::Invalid),
}

/// The decider of an agent.
pub struct NotificationAgent;

impl Decider for NotificationAgent {
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
