//! The first admin, whom the settings name: made at a start, once, whichever replica comes first. Whoever exists is left
//! alone, his password too.

use anyhow::Context;

use domain::customer::{Add, Command as Wanted, Customer};
use event_schema::customer::Role as StoredRole;
use event_schema::ids::derived;
use event_schema::{Actor, Sealed};
use event_store::{Claim, Work};
use service_kit::passwords;
use service_kit::settings::FirstAdmin;
use service_kit::{Problem, Role, Validation};

use crate::command::Command;
use crate::customers::EMAIL_RULE;
use crate::door::Door;

const NAME: &str = "Admin";

/// What a start found or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Made,
    Ours,
    Somebody { admin: bool },
}

/// Sees to it that there is a first admin.
///
/// # Errors
/// When the password cannot be one, or broker or database fail.
pub(crate) async fn ensure(door: &Door, admin: &FirstAdmin) -> anyhow::Result<()> {
    let mut validation = Validation::new();
    passwords::validate(&mut validation, "WAYBILL_ADMIN_PASSWORD", &admin.password);
    validation
        .finish()
        .map_err(|problem| told(&problem))
        .context("WAYBILL_ADMIN_PASSWORD")?;
    let found = make(door, admin)
        .await
        .map_err(|problem| told(&problem))
        .context("the first admin cannot be made")?;
    match found {
        Found::Made => tracing::info!("the first admin was made"),
        Found::Ours | Found::Somebody { admin: true } => {}
        Found::Somebody { admin: false } => tracing::warn!(
            "WAYBILL_ADMIN_EMAIL belongs to an account that is no admin; it is left as it is"
        ),
    }
    Ok(())
}

async fn make(door: &Door, admin: &FirstAdmin) -> Result<Found, Problem> {
    let account = door.account(&admin.email).await?;
    let id = derived(&["first admin", &account.email_key]);
    if let Some(details) = account.active() {
        return Ok(if account.id == id {
            Found::Ours
        } else {
            let admin = details.role == StoredRole::Admin;
            Found::Somebody { admin }
        });
    }
    let now = door.clock.now();
    let hash = door.passwords.hash(&admin.password).await?;
    // Of several replicas the first one's hash stays; all of them are of the same password.
    door.vault.set_first_password(id, &hash, now).await?;
    let personal = door.vault.personal_key(id).await?;
    let seal = |field: &str, value: &str| {
        Sealed::seal(&personal, id, id, field, &value.to_owned())
            .map_err(|error| Problem::unexpected(&error))
    };
    let add = Add {
        name: seal("name", NAME)?,
        email: seal("email", admin.email.trim())?,
        email_key: account.email_key.clone(),
        role: StoredRole::Admin,
        partner_id: None,
        phone: None,
        birth_date: None,
        push_token: None,
    };
    let command = Command::of(id, Actor::caller(Role::Admin.name(), id), now);
    let decide = |work: &mut Work| {
        // He was here and is gone: closed accounts stay closed.
        if work.created_by::<Customer>(id)?.is_some() {
            return Ok(Found::Ours);
        }
        match work.claim(EMAIL_RULE, &account.email_key, id)? {
            Claim::Taken { .. } => Ok(Found::Somebody { admin: false }),
            Claim::Claimed | Claim::Held => {
                work.decide::<Customer>(id, Wanted::Add(add.clone()))?;
                Ok(Found::Made)
            }
        }
    };
    Ok(door.execute(&command, decide).await?.value)
}

fn told(problem: &Problem) -> anyhow::Error {
    let detail = problem.body().detail.clone().unwrap_or_default();
    anyhow::anyhow!("{}: {detail}", problem.code())
}
