//! A small aggregate to test stores with: a ledger is opened, added to, and closed.

use serde::{Deserialize, Serialize};

use event_schema::codec::{self, CodecError};
use event_schema::event_set::{DecodeError, EventSet};
use event_schema::upcast::Upcast;
use event_schema::{Decider, SagaHeaders};

/// The aggregate.
#[derive(Debug)]
pub struct Ledger;

/// What it remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub open: bool,
    pub closed: bool,
    pub total: i64,
}

/// What may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Open,
    Add(i64),
    Close,
}

/// What may have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Opened,
    Added(i64),
    Closed,
}

/// The business "no".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    NotOpen,
    Closed,
}

impl EventSet for Event {
    const AGGREGATE: &'static str = "ledger";
    const TYPES: &'static [(&'static str, u16)] = &[
        ("ledger.opened", 1),
        ("ledger.added", 1),
        ("ledger.closed", 1),
    ];
    const UPCASTS: &'static [Upcast] = &[];

    fn event_type(&self) -> &'static str {
        match self {
            Self::Opened => "ledger.opened",
            Self::Added(_) => "ledger.added",
            Self::Closed => "ledger.closed",
        }
    }

    fn encode(&self) -> Result<Vec<u8>, CodecError> {
        match self {
            Self::Opened | Self::Closed => codec::encode(&()),
            Self::Added(amount) => codec::encode(amount),
        }
    }

    fn decode(event_type: &str, version: u16, payload: &[u8]) -> Result<Self, DecodeError> {
        match (event_type, version) {
            ("ledger.opened", 1) => Ok(Self::Opened),
            ("ledger.added", 1) => Ok(Self::Added(codec::decode(payload)?)),
            ("ledger.closed", 1) => Ok(Self::Closed),
            ("ledger.opened" | "ledger.added" | "ledger.closed", version) => {
                Err(DecodeError::UnknownVersion {
                    event_type: event_type.to_owned(),
                    version,
                })
            }
            _ => Err(DecodeError::UnknownType(event_type.to_owned())),
        }
    }

    fn saga_headers(&self) -> Option<SagaHeaders> {
        None
    }
}

impl Decider for Ledger {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;
    const SHAPE: u32 = 1;

    fn initial() -> State {
        State::default()
    }

    fn evolve(state: State, event: &Event) -> State {
        match event {
            Event::Opened => State {
                open: true,
                ..state
            },
            Event::Added(amount) => State {
                total: state.total + amount,
                ..state
            },
            Event::Closed => State {
                closed: true,
                ..state
            },
        }
    }

    fn decide(state: &State, command: Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Open if state.open => Ok(vec![]),
            Command::Open => Ok(vec![Event::Opened]),
            Command::Add(_) if !state.open => Err(Rejection::NotOpen),
            Command::Add(_) if state.closed => Err(Rejection::Closed),
            Command::Add(amount) => Ok(vec![Event::Added(amount)]),
            Command::Close if !state.open => Err(Rejection::NotOpen),
            Command::Close if state.closed => Ok(vec![]),
            Command::Close => Ok(vec![Event::Closed]),
        }
    }
}
