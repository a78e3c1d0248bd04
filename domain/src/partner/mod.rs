//! A partner: the seller who prepares orders.
//!
//! Added → (verified once) → enabled ⇄ disabled. What a partner offers can be bought while it is verified and
//! enabled; the two are independent, so that an unverified partner may prepare everything beforehand. A system that says
//! that its address is gone is told nothing until the address is set again or the partner enabled.

mod add;
mod change;
mod disable;
mod disable_webhook;
mod enable;
mod state;
mod verify;

use event_schema::Decider;
pub use event_schema::partner::Event;

use crate::command_set::command_set;

pub use add::Add;
pub use change::Change;
pub use disable::Disable;
pub use disable_webhook::DisableWebhook;
pub use enable::Enable;
pub use state::{Profile, State};
pub use verify::Verify;

command_set! {
    /// What may be asked of a partner.
    pub enum Command {
        /// A partner exists from now on.
        Add,
        /// Its business data is different.
        Change,
        /// Somebody looked, and the business is what it says.
        Verify,
        /// It sells.
        Enable,
        /// It does not sell for now.
        Disable,
        /// Nothing is sent to its system any more.
        DisableWebhook,
    }
}

/// Why a command on a partner is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The id belongs to another partner.
    #[error("a different partner has this id already")]
    AlreadyAdded,
    /// Nobody has this id.
    #[error("there is no such partner")]
    NotAdded,
    /// A business has a name.
    #[error("a partner needs a title")]
    TitleMissing,
}

/// The decider of a partner.
pub struct Partner;

impl Decider for Partner {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    const SHAPE: u32 = 2;

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
            Command::Verify(verify) => verify.decide(state),
            Command::Enable(enable) => enable.decide(state),
            Command::Disable(disable) => disable.decide(state),
            Command::DisableWebhook(disable) => disable.decide(state),
        }
    }
}

#[cfg(test)]
mod fixtures {
    use event_schema::partner::{self as event, Event};

    use super::Profile;

    pub(super) fn profile() -> Profile {
        Profile {
            title: "Corner Bakery Ltd".into(),
            brand: "Corner".into(),
            phone: "+49 30 1".into(),
            email: "bakery@example.org".into(),
            address: "Corner Street 1".into(),
            webhook_url: None,
        }
    }

    pub(super) fn added() -> Event {
        let Profile {
            title,
            brand,
            phone,
            email,
            address,
            webhook_url,
        } = profile();
        event::Added {
            title,
            brand,
            phone,
            email,
            address,
            webhook_url,
        }
        .into()
    }
}
