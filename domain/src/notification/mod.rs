//! The messages about one thing (an order, a customer, a product) that leave the house.
//!
//! Each message: intended → attempted → ended → (again, or with the next provider) → settled. An attempt is recorded
//! before the provider is asked, so whoever finds one without an outcome knows that the message may have been sent.
//! What may be done then depends on what the provider offers ([`Recovery`]); where it offers nothing the message is
//! settled as unknown rather than sent twice.

mod attempt;
mod end_attempt;
mod give_up;
mod intend;
pub mod policy;
pub mod quiet;
mod state;

use event_schema::Decider;
pub use event_schema::notification::Event;

use crate::command_set::command_set;

pub use attempt::Attempt;
pub use end_attempt::{Answer, EndAttempt};
pub use give_up::GiveUp;
pub use intend::Intend;
pub use policy::Recovery;
pub use state::{Delivery, Stage, State, Unclear};

command_set! {
    /// What may be asked of messages.
    pub enum Command {
        /// Somebody is to be told something.
        Intend,
        /// A provider is about to be asked.
        Attempt,
        /// What came of it.
        EndAttempt,
        /// Nothing is done about it any more.
        GiveUp,
    }
}

/// Why a command on a message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Nobody intended it.
    #[error("there is no such message")]
    NotIntended,
    /// It is over.
    #[error("the message is settled already")]
    Settled,
    /// Somebody is asking a provider, or died while he did.
    #[error("an attempt has no outcome yet")]
    Underway,
    /// Somebody else went on with it meanwhile.
    #[error("it is another attempt's turn")]
    OtherAttempt,
    /// The intent names who may carry it.
    #[error("this provider is not to carry the message")]
    OtherProvider,
    /// It may have been sent by one provider; another one would send it twice.
    #[error("the message may have been sent by another provider")]
    MayBeSent,
}

/// The decider of messages.
pub struct Notification;

impl Decider for Notification {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    const SHAPE: u32 = 1;

    fn initial() -> State {
        State::default()
    }

    fn evolve(state: State, event: &Event) -> State {
        state.evolve(event)
    }

    fn decide(state: &State, command: Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Intend(intend) => Ok(intend.decide(state)),
            Command::Attempt(attempt) => attempt.decide(state),
            Command::EndAttempt(end) => end.decide(state),
            Command::GiveUp(give_up) => give_up.decide(state),
        }
    }
}

/// The message, while something can still be done about it.
fn open(state: &State, id: event_schema::ids::DeliveryId) -> Result<&Delivery, Rejection> {
    let delivery = state.delivery(id).ok_or(Rejection::NotIntended)?;
    match delivery.stage {
        Stage::Settled(_) => Err(Rejection::Settled),
        Stage::Waiting { .. } | Stage::Underway { .. } | Stage::Unclear { .. } => Ok(delivery),
    }
}

#[cfg(test)]
mod fixtures {
    use event_schema::Timestamp;
    use event_schema::ids::DeliveryId;
    use event_schema::notification::{
        self as event, AgentVersion, Channel, Event, Kind, Outcome, Priority, Recipient, Status,
    };
    use uuid::Uuid;

    use super::{Answer, Attempt, EndAttempt, Recovery};
    use crate::fixtures::{at, customer_id, order};

    pub(super) const FIRST: &str = "smtp";
    pub(super) const SECOND: &str = "mail_api";

    pub(super) fn id() -> DeliveryId {
        DeliveryId(Uuid::from_u128(0x51))
    }

    pub(super) fn intent() -> event::Intended {
        event::Intended {
            delivery_id: id(),
            event_id: Uuid::from_u128(0x52),
            kind: Kind::OrderConfirmed,
            channel: Channel::Email,
            recipient: Recipient::Customer(customer_id()),
            order_id: Some(order(1)),
            about: None,
            agent: AgentVersion {
                name: "orders".into(),
                version: 0,
            },
            priority: Priority::High,
            providers: vec![FIRST.into(), SECOND.into()],
            allow_duplicates: false,
            intended_at: at(0),
            not_before: None,
            replay_of: None,
        }
    }

    pub(super) fn webhook() -> event::Intended {
        event::Intended {
            channel: Channel::Webhook,
            providers: vec![FIRST.into()],
            ..intent()
        }
    }

    pub(super) fn attempted(attempt: u32, provider: &str, at: Timestamp) -> Event {
        event::Attempted {
            delivery_id: id(),
            attempt,
            provider: provider.into(),
            at,
        }
        .into()
    }

    pub(super) fn attempt(attempt: u32, provider: &str, now: Timestamp) -> Attempt {
        Attempt {
            delivery_id: id(),
            attempt,
            provider: provider.into(),
            now,
        }
    }

    pub(super) fn ended(
        attempt: u32,
        provider: &str,
        outcome: Outcome,
        next: Option<(&str, Timestamp)>,
    ) -> Event {
        event::AttemptEnded {
            delivery_id: id(),
            attempt,
            provider: provider.into(),
            outcome,
            provider_id: None,
            cause: Some("code".into()),
            retry_at: next.map(|(_, at)| at),
            next_provider: next.map(|(provider, _)| provider.into()),
        }
        .into()
    }

    pub(super) fn settled(status: Status) -> Event {
        event::Settled {
            delivery_id: id(),
            status,
            cause: Some("code".into()),
        }
        .into()
    }

    pub(super) fn end(
        attempt: u32,
        outcome: Outcome,
        recovery: Recovery,
        now: Timestamp,
    ) -> EndAttempt {
        EndAttempt {
            delivery_id: id(),
            attempt,
            answer: Answer {
                outcome,
                provider_id: None,
                cause: Some("code".into()),
                retry_after: None,
            },
            recovery,
            now,
        }
    }
}
