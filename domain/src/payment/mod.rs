//! The payment of one order: asked for, set aside, taken, let go or given back. Its id is the order's.
//!
//! ```text
//! requested ─▶ (action required) ─▶ authorised ─▶ capture requested ─▶ captured ─▶ refund requested ─▶ refunded
//!      └─▶ declined                     └─▶ void requested ─▶ voided
//! ```
//!
//! All commands but one come from the saga `fulfilment`, decided in one batch with its own events. `RecordCallback`
//! comes from outside: it never moves money here, it only tells the saga to look the truth up at the provider.
//! The ledger never lies: 0 ≤ refunded ≤ captured ≤ authorised at every position. It is the provider's; what a person
//! has settled outside stands beside it.

mod authorise;
mod callback;
mod capture;
mod refund;
mod request;
mod settle_outside;
mod state;
mod unknown;
mod void;

pub use event_schema::payment::Event;
use event_schema::{Decider, Money};

use crate::command_set::command_set;

pub use authorise::{Authorise, Decline};
pub use callback::{REMEMBERED_CALLBACKS, RecordCallback};
pub use capture::{Capture, RefuseCapture, RequestCapture};
pub use refund::{FailRefund, Refund, RefuseRefund, RequestRefund};
pub use request::{Request, RequireAction};
pub use settle_outside::SettleOutside;
pub use state::{Ledger, Outside, State, Status};
pub use unknown::MarkUnknown;
pub use void::{RefuseVoid, RequestVoid, Void};

command_set! {
    /// What may be asked of a payment.
    pub enum Command {
        /// Ask for the money.
        Request,
        /// The customer has to act on the provider's page.
        RequireAction,
        /// The money is set aside.
        Authorise,
        /// The provider refused for good.
        Decline,
        /// The money is about to be taken.
        RequestCapture,
        /// The money is taken.
        Capture,
        /// The provider refused to take it, for good.
        RefuseCapture,
        /// What is or may be set aside is about to be let go.
        RequestVoid,
        /// Nothing is set aside any more.
        Void,
        /// The provider refused to let it go, for good.
        RefuseVoid,
        /// Taken money is about to be given back.
        RequestRefund,
        /// It is given back.
        Refund,
        /// The provider refused to give it back, for good.
        RefuseRefund,
        /// A refund that had succeeded has failed after all.
        FailRefund,
        /// A call had no answer that can be used.
        MarkUnknown,
        /// A person has settled it outside the provider.
        SettleOutside,
        /// A signed callback arrived.
        RecordCallback,
    }
}

/// Why a command on a payment is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No money was ever asked for under this id; a callback about it is a stray.
    #[error("no money was asked for under this order")]
    UnknownPayment,
    /// The payment runs with another provider or for another amount.
    #[error("another payment was asked for under this order")]
    RequestedDifferently,
    /// Nobody is asked for nothing, or paid for buying.
    #[error("the amount must be at least one minor unit")]
    AmountNotPositive,
    /// Another amount or currency than was asked for, or than there is.
    #[error("the amount is {told}, but {expected} was expected")]
    AmountMismatch {
        /// What there is or was asked for.
        expected: Money,
        /// What was named.
        told: Money,
    },
    /// Nothing is set aside.
    #[error("no money is set aside")]
    NotAuthorised,
    /// Money is set aside already, under another payment of the provider.
    #[error("money is set aside already")]
    AlreadyAuthorised,
    /// The money is taken; it can only be given back.
    #[error("the money is taken already")]
    AlreadyCaptured,
    /// Nothing is taken that could be given back.
    #[error("no money is taken")]
    NotCaptured,
    /// A sum does not fit.
    #[error("the amount is too large")]
    AmountTooLarge,
}

/// The decider of a payment.
pub struct Payment;

impl Decider for Payment {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    const SHAPE: u32 = 2;

    fn initial() -> State {
        State::default()
    }

    fn evolve(state: State, event: &Event) -> State {
        state.evolve(event)
    }

    fn decide(state: &State, command: Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Request(request) => request.decide(state),
            Command::RequireAction(require) => require.decide(state),
            Command::Authorise(authorise) => authorise.decide(state),
            Command::Decline(decline) => decline.decide(state),
            Command::RequestCapture(request) => request.decide(state),
            Command::Capture(capture) => capture.decide(state),
            Command::RefuseCapture(refuse) => refuse.decide(state),
            Command::RequestVoid(request) => request.decide(state),
            Command::Void(void) => void.decide(state),
            Command::RefuseVoid(refuse) => refuse.decide(state),
            Command::RequestRefund(request) => request.decide(state),
            Command::Refund(refund) => refund.decide(state),
            Command::RefuseRefund(refuse) => refuse.decide(state),
            Command::FailRefund(fail) => fail.decide(state),
            Command::MarkUnknown(mark) => mark.decide(state),
            Command::SettleOutside(settle) => settle.decide(state),
            Command::RecordCallback(record) => record.decide(state),
        }
    }
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod model;
