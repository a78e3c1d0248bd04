//! given / when / then for deciders: a test reads as a sentence, and a misuse does not compile.

use std::fmt;
use std::marker::PhantomData;

use crate::decider::Decider;

/// The past of an aggregate; start of every decision test.
pub fn given<D: Decider>(events: impl IntoIterator<Item = D::Event>) -> Given<D> {
    let events: Vec<_> = events.into_iter().collect();
    Given {
        state: D::fold(&events),
        decider: PhantomData,
    }
}

/// A past that waits for a command.
pub struct Given<D: Decider> {
    state: D::State,
    decider: PhantomData<D>,
}

impl<D: Decider> Given<D> {
    /// The command that is tried.
    pub fn when(self, command: impl Into<D::Command>) -> When<D> {
        When {
            result: D::decide(&self.state, command.into()),
            state: self.state,
        }
    }

    /// The state itself, for what no command shows.
    pub fn then_state(self) -> D::State {
        self.state
    }
}

/// What the command led to.
pub struct When<D: Decider> {
    result: Result<Vec<D::Event>, D::Rejection>,
    state: D::State,
}

#[expect(
    clippy::panic,
    reason = "a harness reports by panicking at the test's line"
)]
impl<D: Decider> When<D> {
    /// It happens: exactly these events.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = D::Event>) -> D::State {
        let expected: Vec<_> = expected.into_iter().collect();
        match self.result {
            Ok(events) => {
                assert_eq!(events, expected);
                events.iter().fold(self.state, D::evolve)
            }
            Err(rejection) => panic!("expected {expected:?}, but it was refused: {rejection:?}"),
        }
    }

    /// It is refused for exactly this reason.
    #[track_caller]
    pub fn then_rejected(self, expected: D::Rejection) {
        match self.result {
            Ok(events) => panic!("expected the refusal {expected:?}, but it happened: {events:?}"),
            Err(rejection) => assert_eq!(rejection, expected),
        }
    }

    /// It is already true: accepted, nothing to record.
    #[track_caller]
    pub fn then_nothing(self) {
        self.then([]);
    }
}

impl<D: Decider> fmt::Debug for When<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.result, f)
    }
}
