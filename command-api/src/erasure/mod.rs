//! A person's data becomes unreadable: the event first, then everything that opens or holds it.
//!
//! From the event on the person is gone, whatever happens next: nobody signs in as him, and his key is as good as
//! destroyed, because whoever finds the event and the key finishes the work. [`watch`] does that, at every start and
//! from then on, so neither a process that died after the event nor a vault restored from an older copy brings anybody
//! back. Every part may be done twice, and by several at once.

mod watch;

use uuid::Uuid;

use domain::customer::{Command as Wanted, Customer, Erase};
use event_store::{Stop, Work};
use service_kit::pictures::PictureError;
use service_kit::{Problem, VaultError};

use crate::answer::Answer;
use crate::command::Command;
use crate::customers::EMAIL_RULE;
use crate::door::Door;
use crate::if_match::IfMatch;

pub(crate) use watch::run as watch;

/// Why what is left of an erased person could not be destroyed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DestroyError {
    /// The vault is away.
    #[error("what the vault holds of {person} could not be destroyed")]
    Vault {
        /// Whose.
        person: Uuid,
        /// Why.
        source: VaultError,
    },
    /// The store of pictures is away.
    #[error("the pictures of {person} could not be removed")]
    Pictures {
        /// Whose.
        person: Uuid,
        /// Why.
        source: PictureError,
    },
}

/// Erases the person, and answers when nothing opens his data any more. His address is free from then on.
pub(crate) async fn erase(
    door: &Door,
    command: &Command,
    if_match: &IfMatch,
    id: Uuid,
) -> Result<Answer<()>, Problem> {
    let decide = |work: &mut Work| {
        let known = work.state::<Customer>(id)?.details().cloned();
        // Somebody erased stays erased, whatever key the command has.
        if let Some(known) = known {
            if_match
                .check(work.version::<Customer>(id)?)
                .map_err(Stop::rejected)?;
            work.release(EMAIL_RULE, &known.email_key, id)?;
        }
        work.decide::<Customer>(id, Wanted::Erase(Erase))?;
        Ok(())
    };
    let executed = door.execute(command, decide).await?;
    if let Err(error) = destroy(door, id).await {
        // It has happened all the same, and will be finished; only that it is done cannot be said yet.
        return Err(match error {
            DestroyError::Vault { source, .. } => source.into(),
            DestroyError::Pictures { source, .. } => source.into(),
        });
    }
    Ok(Answer::nothing().at(executed.position))
}

/// Destroys what opens or holds an erased person's data: the key first, then by what he signed in, then his pictures.
pub(crate) async fn destroy(door: &Door, person: Uuid) -> Result<(), DestroyError> {
    let vault = |source| DestroyError::Vault { person, source };
    door.vault.destroy(person).await.map_err(vault)?;
    let now = door.clock.now();
    let ended = door
        .vault
        .forget_account(person, now)
        .await
        .map_err(vault)?;
    door.tokens.revoked().add(ended, now);
    door.pictures
        .remove_all(person)
        .await
        .map_err(|source| DestroyError::Pictures { person, source })?;
    Ok(())
}
