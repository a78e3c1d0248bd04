//! An account is closed: nobody signs in with it any more, what it did stays, and its address stays taken.

use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use uuid::Uuid;

use domain::customer::{Command as Wanted, Customer, Deactivate};
use event_store::Work;
use service_kit::Problem;

use crate::answer::Answer;
use crate::command::Command;
use crate::door::Door;
use crate::if_match::IfMatch;

/// How an account ends.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Way {
    /// Whether the person's data is to be unreadable as well.
    #[serde(default)]
    #[param(default = false)]
    pub(crate) erase: bool,
}

/// Closes the account; an account that is closed already stays so.
pub(crate) async fn close(
    door: &Door,
    command: &Command,
    if_match: &IfMatch,
    id: Uuid,
) -> Result<Answer<()>, Problem> {
    let decide = |work: &mut Work| {
        if !command.has_happened(work)? {
            let open = work.state::<Customer>(id)?.active().is_some();
            if open {
                let version = work.version::<Customer>(id)?;
                if_match
                    .check(version)
                    .map_err(event_store::Stop::rejected)?;
            }
            work.decide::<Customer>(id, Wanted::Deactivate(Deactivate))?;
        }
        Ok(())
    };
    let executed = door.execute(command, decide).await?;
    // Also after a repeat: whoever died between the event and this line is repeated.
    let now = door.clock.now();
    let ended = door.vault.remove_account(id, now).await?;
    door.tokens.revoked().add(ended, now);
    Ok(Answer::nothing().at(executed.position))
}
