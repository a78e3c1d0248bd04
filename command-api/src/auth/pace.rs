//! When a "no" is answered: not before a fixed while after the question came. The work for somebody unknown is the same as
//! for somebody known, but caches know the one and not the other, and that could be measured.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use service_kit::Problem;

/// Longer than the work takes, unless the machine is overloaded.
const NO_SOONER_THAN: Duration = Duration::from_millis(250);

/// Counts from its making.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace(Instant);

impl Pace {
    pub(super) fn begin() -> Self {
        Self(Instant::now())
    }

    /// The "no", when its time has come.
    pub(super) async fn no(self, problem: Problem) -> Problem {
        sleep_until(self.0 + NO_SOONER_THAN).await;
        problem
    }
}
