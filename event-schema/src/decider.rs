//! The decider: three pure functions that are all of an aggregate's behaviour.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::event_set::EventSet;

/// An aggregate as three pure functions. No I/O, no clock, no random: time, ids and prices arrive in the command.
pub trait Decider: Send + Sync + 'static {
    /// What decisions need to remember. Serialisable only so that it can be snapshot.
    type State: Clone
        + fmt::Debug
        + PartialEq
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static;
    /// What may be asked.
    type Command;
    /// What may have happened.
    type Event: EventSet + PartialEq;
    /// The business "no", typed.
    type Rejection: fmt::Debug + Clone + PartialEq + Send + Sync + 'static;

    /// The state's shape; raise it with every change of `State` or of `evolve`, so that no old snapshot is read.
    const SHAPE: u32;

    /// Before anything happened.
    fn initial() -> Self::State;

    /// Folds one event in. Total: history happened, evolve does not argue.
    fn evolve(state: Self::State, event: &Self::Event) -> Self::State;

    /// Events, an empty list (already true), or a rejection.
    fn decide(
        state: &Self::State,
        command: Self::Command,
    ) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// The saga definition that a history runs under; none for ordinary aggregates.
    fn saga_def(_state: &Self::State) -> Option<SagaDef> {
        None
    }

    /// Folds a history.
    fn fold<'a>(events: impl IntoIterator<Item = &'a Self::Event>) -> Self::State {
        events.into_iter().fold(Self::initial(), Self::evolve)
    }
}

/// Version and digest of a saga's definition, in the header `Saga-Def` as `1:5f0c91aa`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct SagaDef {
    /// Raised with every change of the step table.
    pub version: u32,
    /// Digest of the step table, so that two builds cannot mean different tables by one version.
    pub digest: String,
}

impl fmt::Display for SagaDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.version, self.digest)
    }
}
