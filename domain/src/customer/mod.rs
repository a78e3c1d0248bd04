//! A customer: somebody with a role, whom an account belongs to.
//!
//! Added → (profile, e-mail address, role and picture change) → deactivated → erased; an active account can be erased
//! at once. Personal data stays sealed here. That an address belongs to one customer only is guarded by its
//! uniqueness record, appended in the same group. Passwords and sessions are no facts of the business: the vault has
//! them.

mod add;
mod change_email;
mod change_profile;
mod change_role;
mod choose_channels;
mod deactivate;
mod drop_push_token;
mod erase;
mod set_avatar;
mod state;
mod verify_email;

use event_schema::Decider;
pub use event_schema::customer::Event;

use crate::command_set::command_set;
use crate::notification::quiet;

pub use add::Add;
pub use change_email::ChangeEmail;
pub use change_profile::ChangeProfile;
pub use change_role::ChangeRole;
pub use choose_channels::ChooseChannels;
pub use deactivate::Deactivate;
pub use drop_push_token::DropPushToken;
pub use erase::Erase;
pub use set_avatar::SetAvatar;
pub use state::{Customer as Details, State};
pub use verify_email::VerifyEmail;

command_set! {
    /// What may be asked of a customer.
    pub enum Command {
        /// A customer exists from now on.
        Add,
        /// What is known of the person is different.
        ChangeProfile,
        /// The person has another address.
        ChangeEmail,
        /// The person can read what is sent to the address.
        VerifyEmail,
        /// The person may do something else.
        ChangeRole,
        /// The person has another picture.
        SetAvatar,
        /// How the person wants to be told things.
        ChooseChannels,
        /// A device is not reached any more.
        DropPushToken,
        /// The account is closed.
        Deactivate,
        /// The person's data is to be unreadable.
        Erase,
    }
}

/// Why a command on a customer is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The id belongs to another customer.
    #[error("a different customer has this id already")]
    AlreadyAdded,
    /// Nobody has this id.
    #[error("there is no such customer")]
    NotAdded,
    /// The account is closed.
    #[error("the account is closed")]
    Deactivated,
    /// The code was sent to an address that is not the person's any more.
    #[error("the e-mail address has changed meanwhile")]
    OtherEmail,
    /// A partner's person acts for a partner, and nobody else does.
    #[error("a person with the role partner, and only such a person, acts for a partner")]
    PartnerMismatch,
    /// The quiet hours mean nothing.
    #[error(transparent)]
    QuietHours(#[from] quiet::Invalid),
}

/// The decider of a customer.
pub struct Customer;

impl Decider for Customer {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    const SHAPE: u32 = 3;

    fn initial() -> State {
        State::NotAdded
    }

    fn evolve(state: State, event: &Event) -> State {
        state.evolve(event)
    }

    fn decide(state: &State, command: Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Add(add) => add.decide(state),
            Command::ChangeProfile(change) => change.decide(state),
            Command::ChangeEmail(change) => change.decide(state),
            Command::VerifyEmail(verify) => verify.decide(state),
            Command::ChangeRole(change) => change.decide(state),
            Command::SetAvatar(set) => set.decide(state),
            Command::ChooseChannels(choose) => choose.decide(state),
            Command::DropPushToken(drop) => drop.decide(state),
            Command::Deactivate(deactivate) => deactivate.decide(state),
            Command::Erase(erase) => erase.decide(state),
        }
    }
}

/// The customer whose account is open.
fn open(state: &State) -> Result<&Details, Rejection> {
    match state {
        State::Added(customer) => Ok(customer),
        State::Deactivated(_) => Err(Rejection::Deactivated),
        State::NotAdded | State::Erased => Err(Rejection::NotAdded),
    }
}

#[cfg(test)]
mod fixtures {
    use event_schema::customer::{self as event, Event, Role};

    use crate::fixtures::sealed;

    pub(super) fn added() -> Event {
        event::Added {
            name: sealed("name"),
            email: sealed("email"),
            email_key: "c0ffee".into(),
            role: Role::Customer,
        }
        .into()
    }

    pub(super) fn deactivated() -> Event {
        event::Deactivated {}.into()
    }

    pub(super) fn erased() -> Event {
        event::Erased {}.into()
    }
}
