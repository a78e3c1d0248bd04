//! The two guarding histories as deciders, so that they load, cache and append like any aggregate.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use event_schema::Decider;
use event_schema::record::{DoneEvent, UniqEvent};

/// `done.<command id>`: whether an additive command has happened.
#[derive(Debug)]
pub struct Done;

/// What is known of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneState {
    /// How many messages of its group follow the record; nothing when it has not happened.
    pub following: Option<u32>,
}

impl Decider for Done {
    type State = DoneState;
    type Command = Infallible;
    type Event = DoneEvent;
    type Rejection = Infallible;
    const SHAPE: u32 = 1;

    fn initial() -> DoneState {
        DoneState { following: None }
    }

    fn evolve(_: DoneState, event: &DoneEvent) -> DoneState {
        let DoneEvent::Recorded(done) = event;
        DoneState {
            following: Some(done.following),
        }
    }

    fn decide(_: &DoneState, command: Infallible) -> Result<Vec<DoneEvent>, Infallible> {
        match command {}
    }
}

/// `uniq.<rule>.<key>`: who holds a unique value.
#[derive(Debug)]
pub struct Uniq;

/// Who holds the value now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniqState {
    /// The aggregate that holds it, if one does.
    pub owner: Option<Uuid>,
}

impl Decider for Uniq {
    type State = UniqState;
    type Command = Infallible;
    type Event = UniqEvent;
    type Rejection = Infallible;
    const SHAPE: u32 = 1;

    fn initial() -> UniqState {
        UniqState { owner: None }
    }

    fn evolve(_: UniqState, event: &UniqEvent) -> UniqState {
        match event {
            UniqEvent::Claimed(claimed) => UniqState {
                owner: Some(claimed.owner),
            },
            UniqEvent::Released(_) => UniqState { owner: None },
        }
    }

    fn decide(_: &UniqState, command: Infallible) -> Result<Vec<UniqEvent>, Infallible> {
        match command {}
    }
}
