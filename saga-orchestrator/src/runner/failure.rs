//! Why a saga could not be worked, by what its owner does about it.

use domain::fulfilment::Rejection;
use event_store::{AppendError, ExecuteError, LoadError};

/// Why a saga could not be worked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Something is away; nothing is wrong with the saga.
    #[error("{0}")]
    Unavailable(String),
    /// Its handling is broken.
    #[error("{0}")]
    Poisoned(String),
    /// Its history is broken.
    #[error("{0}")]
    Unreadable(String),
    /// It needs a build that this is not.
    #[error("{0}")]
    Newer(String),
    /// It was set aside because its handling is broken, and nothing says that this has changed.
    #[error("it is still set aside")]
    StillSetAside,
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Newer { .. } => Self::Newer(error.to_string()),
            LoadError::Corrupt { .. } => Self::Unreadable(error.to_string()),
            LoadError::Unavailable(_) | LoadError::NotReached(_) | LoadError::Rewound(_) => {
                Self::Unavailable(error.to_string())
            }
        }
    }
}

impl From<ExecuteError<Rejection>> for Failure {
    fn from(error: ExecuteError<Rejection>) -> Self {
        match error {
            ExecuteError::Rejected(rejection @ Rejection::OtherDefinition { .. }) => {
                Self::Newer(rejection.to_string())
            }
            ExecuteError::Rejected(rejection) => Self::Poisoned(rejection.to_string()),
            ExecuteError::Newer { .. } => Self::Newer(error.to_string()),
            ExecuteError::Load(error) => error.into(),
            ExecuteError::Append(
                AppendError::Corrupt { .. }
                | AppendError::Refused(_)
                | AppendError::TooLarge { .. },
            ) => Self::Poisoned(error.to_string()),
            ExecuteError::Conflict | ExecuteError::Append(_) => {
                Self::Unavailable(error.to_string())
            }
        }
    }
}
