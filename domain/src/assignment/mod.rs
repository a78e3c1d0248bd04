//! One customer's hold on one cloud resource: assigned, unassigned, assigned again. That both exist is decided in the
//! same group, over their own histories.

mod assign;
mod state;
mod unassign;

use std::convert::Infallible;

use event_schema::Decider;
pub use event_schema::assignment::Event;

use crate::command_set::command_set;

pub use assign::Assign;
pub use state::State;
pub use unassign::Unassign;

command_set! {
    /// What may be asked of an assignment.
    pub enum Command {
        /// The customer gets the resource.
        Assign,
        /// The customer does not have it any more.
        Unassign,
    }
}

/// The decider of an assignment.
pub struct Assignment;

impl Decider for Assignment {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Infallible;

    const SHAPE: u32 = 1;

    fn initial() -> State {
        State::Unassigned
    }

    fn evolve(_: State, event: &Event) -> State {
        match event {
            Event::Assigned(_) => State::Assigned,
            Event::Unassigned(_) => State::Unassigned,
        }
    }

    fn decide(state: &State, command: Command) -> Result<Vec<Event>, Infallible> {
        Ok(match command {
            Command::Assign(assign) => assign.decide(*state),
            Command::Unassign(unassign) => unassign.decide(*state),
        })
    }
}

#[cfg(test)]
mod fixtures {
    use event_schema::assignment::{self as event, Event};
    use event_schema::ids::ResourceId;
    use uuid::Uuid;

    use crate::fixtures::customer_id;

    pub(super) fn machine() -> ResourceId {
        ResourceId(Uuid::from_u128(0xf1))
    }

    pub(super) fn assigned() -> Event {
        event::Assigned {
            customer_id: customer_id(),
            resource_id: machine(),
        }
        .into()
    }

    pub(super) fn unassigned() -> Event {
        event::Unassigned {
            customer_id: customer_id(),
            resource_id: machine(),
        }
        .into()
    }
}
