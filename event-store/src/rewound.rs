//! What it means that a log is not the one it was, in words that say what to do.

use event_schema::Position;

/// What every message about it ends with.
const WHAT_TO_DO: &str = "nothing more is added to it; stop every role, then bring the right log back, or take this one for \
                          the truth: docs/runbooks/log-rewound.md says how";

/// The log at the address is not the one that this process has worked with. Nothing may be decided on what is remembered
/// of it, and nothing may be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogRewound {
    /// The stream was deleted and made anew.
    #[error("the log was recreated: it is {now}, and was {before}; {WHAT_TO_DO}")]
    Recreated {
        /// The log that was worked with.
        before: String,
        /// The one that is there now.
        now: String,
    },
    /// The log ends before what is known of it.
    #[error(
        "the log has lost its tail: it ends at {end}, and an event at {known} is known; {WHAT_TO_DO}"
    )]
    Shorter {
        /// The newest position that is known.
        known: Position,
        /// Where the log ends.
        end: Position,
    },
    /// The log holds something else than what is known of it.
    #[error(
        "the log has lost its tail and grown again: at {known} it does not hold the event that is known; {WHAT_TO_DO}"
    )]
    Regrown {
        /// The newest position that is known.
        known: Position,
    },
}
