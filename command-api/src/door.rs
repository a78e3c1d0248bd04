//! What every handler holds: the write path, the vault, the quotes, and the limits they work within.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use domain::fulfilment::Policy;
use event_schema::{Position, Recorded, Subject, Version};
use event_store::{ExecuteError, Executed, Executor, Freshness, Stop, Work};
use service_kit::crypto::InstallationKey;
use service_kit::idempotency::IdempotencyKey;
use service_kit::mail::Mailer;
use service_kit::passwords::Passwords;
use service_kit::payment::ProviderAccount;
use service_kit::pictures::Pictures;
use service_kit::signing::Tokens;
use service_kit::{Caller, Clock, Problem, Vault};

use crate::command::Command;
use crate::orders::quote::Quotes;
use crate::pictures::Studio;
use crate::problem::{self, Refusal};

/// The longest that one command waits for the log. Shorter than a request may take, so that the caller hears that the
/// broker is away, not just that time is over.
pub(crate) const LOG_LIMIT: Duration = Duration::from_secs(10);

/// Cheap to clone: the state of every route.
#[derive(Clone)]
pub(crate) struct Door(Arc<Parts>);

/// What is behind the door.
pub(crate) struct Parts {
    pub(crate) executor: Executor,
    pub(crate) vault: Vault,
    pub(crate) installation: InstallationKey,
    pub(crate) clock: Clock,
    pub(crate) quotes: Quotes,
    pub(crate) nats: async_nats::Client,
    pub(crate) provider: ProviderAccount,
    pub(crate) policy: Policy,
    pub(crate) quote_ttl: Duration,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) passwords: Passwords,
    pub(crate) mailer: Mailer,
    pub(crate) pictures: Pictures,
    pub(crate) studio: Studio,
}

impl Deref for Door {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl From<Parts> for Door {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Door {
    /// See [`Command::new`].
    pub(crate) fn command(
        &self,
        name: &str,
        caller: &Caller,
        key: Option<&IdempotencyKey>,
        content: &impl Serialize,
    ) -> Result<Command, Problem> {
        Command::new(
            &self.installation,
            self.clock.now(),
            name,
            caller,
            key,
            content,
        )
    }

    /// Runs a decision within the time a command has.
    pub(crate) async fn execute<T: Send>(
        &self,
        command: &Command,
        decide: impl FnMut(&mut Work) -> Result<T, Stop<Refusal>> + Send,
    ) -> Result<Executed<T>, Problem> {
        let execution = self
            .executor
            .execute(command.metadata.clone(), None, decide);
        match timeout(LOG_LIMIT, execution).await {
            Ok(executed) => executed.map_err(problem::of_execution),
            Err(_) => Err(Problem::broker_unavailable()),
        }
    }

    /// For a step that changed nothing because it is already true: whether this very command has taken it, asking for
    /// something else under the same key.
    pub(crate) async fn not_reused(
        &self,
        command: &Command,
        subject: &Subject,
    ) -> Result<(), Problem> {
        let history = self.history(subject).await?;
        let other = history.iter().any(|event| {
            event.metadata.command_id == command.id()
                && event.metadata.command_hash != command.metadata.command_hash
        });
        if other {
            Err(problem::of_execution(ExecuteError::Rejected(
                Refusal::key_reused(),
            )))
        } else {
            Ok(())
        }
    }

    /// Where the last event of a command is in one of its histories: what the command was answered the first time.
    pub(crate) async fn position_of(
        &self,
        command: &Command,
        subject: &Subject,
    ) -> Result<Position, Problem> {
        let history = self.history(subject).await?;
        let own = history
            .iter()
            .filter(|event| event.metadata.command_id == command.id());
        Ok(own.map(|event| event.position).max().unwrap_or_default())
    }

    async fn history(&self, subject: &Subject) -> Result<Vec<Recorded>, Problem> {
        let load = self
            .executor
            .store()
            .load(subject, Version::NONE, None, Freshness::Leader);
        match timeout(LOG_LIMIT, load).await {
            Ok(history) => Ok(history.map_err(problem::of_load)?.events),
            Err(_) => Err(Problem::broker_unavailable()),
        }
    }
}
