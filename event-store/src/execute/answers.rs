//! What the calls inside a decision answer, and how a decision ends early.

use uuid::Uuid;

use event_schema::Position;

/// Why a decision stopped before it could say yes or no. Hand it on with `?`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// A state has to be loaded first; the closure is called again.
    #[error("a state has to be loaded first")]
    NeedsLoad,
    /// A newer build wrote something that this decision would rest on.
    #[error("the event type {0:?} is not known to this build")]
    Newer(String),
    /// The decision is put wrongly: one history used as two kinds, or an event that cannot be encoded.
    #[error("the decision cannot be recorded: {0}")]
    Unsound(String),
}

/// How a closure ends early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop<R> {
    /// A state has to be loaded first; the closure is called again.
    NeedsLoad,
    /// The business "no".
    Rejected(R),
    /// A newer build wrote something that this decision would rest on.
    Newer(String),
    /// The decision is put wrongly.
    Unsound(String),
}

impl<R> Stop<R> {
    /// The business "no", of any kind that turns into the command's own.
    pub fn rejected(rejection: impl Into<R>) -> Self {
        Self::Rejected(rejection.into())
    }
}

impl<R> From<Halt> for Stop<R> {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::NeedsLoad => Self::NeedsLoad,
            Halt::Newer(event_type) => Self::Newer(event_type),
            Halt::Unsound(why) => Self::Unsound(why),
        }
    }
}

/// What [`Work::decide`] ends with instead of events; `?` turns it into the closure's [`Stop`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal<X> {
    /// Not decided.
    Halt(Halt),
    /// The decider's own "no".
    Rejected(X),
}

impl<X> From<Halt> for Refusal<X> {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl<R: From<X>, X> From<Refusal<X>> for Stop<R> {
    fn from(refusal: Refusal<X>) -> Self {
        match refusal {
            Refusal::Halt(halt) => halt.into(),
            Refusal::Rejected(rejection) => Self::Rejected(rejection.into()),
        }
    }
}

/// Whether an additive command has happened before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Once {
    /// It has not; it is recorded with this group.
    First,
    /// It has: answer as then, and do nothing.
    Repeat {
        /// Position of the last event of its group.
        position: Position,
        /// Hash of the command as it was; another one is another command under the same key.
        command_hash: Option<String>,
    },
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The value was free; the claim is recorded with this group.
    Claimed,
    /// The owner holds it already.
    Held,
    /// Somebody else holds it.
    Taken {
        /// Who.
        owner: Uuid,
    },
}

/// What became of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The owner held it; the release is recorded with this group.
    Released,
    /// The owner does not hold it; nothing to do.
    NotHeld,
}
