//! Why a question to the desk has no answer, or a command does not happen. The code is the HTTP status.

use domain::fulfilment::{OperatorRejection, Rejection};
use event_store::{AppendError, ExecuteError, LoadError};
use uuid::Uuid;

/// Why a question has no answer, or a command does not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The question cannot be read.
    #[error("{0}")]
    BadRequest(String),
    /// The command cannot be told from others.
    #[error(
        "send a header Command-Id, any text of your own, so that the command acts once however often it is sent; \
         or Dry-Run: 1 to see what it would do"
    )]
    CommandIdMissing,
    /// There is no such saga.
    #[error("there is no saga of the order {0}")]
    NotFound(Uuid),
    /// The saga stands otherwise than the command needs it to, perhaps because somebody else was faster.
    #[error("{detail}")]
    Conflict {
        /// The same for every such refusal.
        code: &'static str,
        /// For people.
        detail: String,
    },
    /// The command is wrong, however the saga stands.
    #[error("{detail}")]
    Invalid {
        /// The same for every such refusal.
        code: &'static str,
        /// For people.
        detail: String,
    },
    /// Something is away, or too old; asking again later helps.
    #[error("{detail}")]
    Unavailable {
        /// The same for every such refusal.
        code: &'static str,
        /// For people.
        detail: String,
    },
    /// Our own mistake.
    #[error("{0}")]
    Unexpected(String),
}

impl Refusal {
    /// The broker does not answer.
    pub(super) fn away(error: impl ToString) -> Self {
        Self::Unavailable {
            code: "broker_unavailable",
            detail: error.to_string(),
        }
    }

    /// The HTTP status.
    pub const fn status(&self) -> usize {
        match self {
            Self::BadRequest(_) | Self::CommandIdMissing => 400,
            Self::NotFound(_) => 404,
            Self::Conflict { .. } => 409,
            Self::Invalid { .. } => 422,
            Self::Unexpected(_) => 500,
            Self::Unavailable { .. } => 503,
        }
    }

    /// The same for every such refusal.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::CommandIdMissing => "idempotency_key_missing",
            Self::NotFound(_) => "not_found",
            Self::Conflict { code, .. }
            | Self::Invalid { code, .. }
            | Self::Unavailable { code, .. } => code,
            Self::Unexpected(_) => "internal",
        }
    }

    /// Why a command on this order's saga was not decided, or decided with no.
    pub(super) fn of(order: Uuid, error: ExecuteError<Self>) -> Self {
        match error {
            ExecuteError::Rejected(refusal) => refusal,
            ExecuteError::Newer { .. } => Self::newer(&error),
            ExecuteError::Load(error) => Self::of_load(order, &error),
            ExecuteError::Conflict | ExecuteError::Append(AppendError::Conflict { .. }) => {
                Self::Unavailable {
                    code: "busy",
                    detail: error.to_string(),
                }
            }
            ExecuteError::Append(
                AppendError::Unavailable(_)
                | AppendError::Full(_)
                | AppendError::Busy { .. }
                | AppendError::Rewound(_),
            ) => Self::away(error),
            ExecuteError::Append(_) => Self::Unexpected(error.to_string()),
        }
    }

    /// Why a saga could not be read.
    pub(super) fn of_load(order: Uuid, error: &LoadError) -> Self {
        match error {
            LoadError::Newer { .. } => Self::newer(error),
            LoadError::Corrupt { .. } => Self::Conflict {
                code: "poisoned",
                detail: format!(
                    "the histories of the order {order} cannot be read, so nothing can be decided about it: {error}"
                ),
            },
            LoadError::Unavailable(_) | LoadError::NotReached(_) | LoadError::Rewound(_) => {
                Self::away(error)
            }
        }
    }

    /// The saga's own no.
    pub(super) fn of_rejection(order: Uuid, rejection: &Rejection) -> Self {
        let detail = rejection.to_string();
        match rejection {
            Rejection::NotStarted => Self::NotFound(order),
            Rejection::TooLate => Self::Conflict {
                code: "too_late",
                detail,
            },
            Rejection::OtherDefinition { .. } => Self::newer(rejection),
            Rejection::Operator(rejection) => Self::of_operator(rejection),
            Rejection::AlreadyStarted
            | Rejection::UnfitAnswer { .. }
            | Rejection::StockNotLoaded { .. }
            | Rejection::CompensationDue { .. }
            | Rejection::Order(_)
            | Rejection::Payment(_)
            | Rejection::Stock { .. } => {
                let mut detail = detail;
                let mut cause = std::error::Error::source(rejection);
                while let Some(next) = cause {
                    detail = format!("{detail}: {next}");
                    cause = next.source();
                }
                Self::Conflict {
                    code: "contradiction",
                    detail,
                }
            }
        }
    }

    fn of_operator(rejection: &OperatorRejection) -> Self {
        let (code, detail) = (rejection.code(), rejection.to_string());
        if rejection.is_invalid() {
            Self::Invalid { code, detail }
        } else {
            Self::Conflict { code, detail }
        }
    }

    fn newer(error: impl ToString) -> Self {
        Self::Unavailable {
            code: "newer_events",
            detail: error.to_string(),
        }
    }
}
