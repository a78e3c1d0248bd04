//! A cloud resource in the catalogue: added, described anew, removed. What customers were given stays theirs.

mod add;
mod change;
mod remove;
mod state;

use event_schema::Decider;
pub use event_schema::resource::{Details, Event};

use crate::command_set::command_set;

pub use add::Add;
pub use change::Change;
pub use remove::Remove;
pub use state::State;

command_set! {
    /// What may be asked of a resource.
    pub enum Command {
        /// A resource exists from now on.
        Add,
        /// It is described anew.
        Change,
        /// It is not in the catalogue any more.
        Remove,
    }
}

/// Why a command on a resource is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The id belongs to another resource.
    #[error("a different resource has this id already")]
    AlreadyAdded,
    /// There is no such resource, or not any more.
    #[error("there is no such resource")]
    NotAdded,
    /// A resource has a name, a type and a region.
    #[error("a resource needs a name, a type and a region")]
    Nameless,
}

/// The decider of a resource.
pub struct Resource;

impl Decider for Resource {
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
            Command::Change(change) => change.decide(state),
            Command::Remove(remove) => remove.decide(state),
        }
    }
}

fn named(details: Details) -> Result<Details, Rejection> {
    let blank = |text: &String| text.trim().is_empty();
    if [&details.name, &details.kind, &details.region]
        .into_iter()
        .any(blank)
    {
        return Err(Rejection::Nameless);
    }
    Ok(details)
}

#[cfg(test)]
mod fixtures {
    use event_schema::resource::{self as event, Details, Event};

    pub(super) fn machine() -> Details {
        Details {
            name: "Small machine".into(),
            kind: "vm".into(),
            region: "eu-central-1".into(),
        }
    }

    pub(super) fn moved() -> Details {
        Details {
            region: "eu-west-1".into(),
            ..machine()
        }
    }

    pub(super) fn added() -> Event {
        event::Added { details: machine() }.into()
    }

    pub(super) fn removed() -> Event {
        event::Removed {}.into()
    }
}
