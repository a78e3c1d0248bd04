//! What is sent to people about their accounts. Made and sent after the answer, so that the answer's time tells nothing.

use secrecy::ExposeSecret;
use uuid::Uuid;

use domain::customer::{Customer, Details};
use event_store::Freshness;
use service_kit::Problem;
use service_kit::mail::Mail;
use service_kit::vault::{CODE_TTL, Purpose};

use super::limits;
use crate::door::Door;
use crate::problem;

/// A code for the address that the person has now.
pub(crate) fn verification(door: &Door, person: Uuid, email_key: String) {
    let inner = door.clone();
    door.mailer.send_later(async move {
        if !limits::cause_mail(&inner, person).await? {
            return Ok(None);
        }
        let loaded = inner
            .executor
            .load::<Customer>(person, Freshness::Leader)
            .await
            .map_err(problem::of_load)?;
        match loaded.state.active() {
            Some(details) if details.email_key == email_key => {
                code(&inner, Purpose::VerifyEmail, person, details).await
            }
            _ => Ok(None),
        }
    });
}

/// Another code for an address, if it is somebody's and not verified.
pub(super) fn verification_again(door: &Door, email: String) {
    let inner = door.clone();
    door.mailer.send_later(async move {
        let account = inner.account(&email).await?;
        match account.active() {
            Some(details) if !details.email_verified => {
                code(&inner, Purpose::VerifyEmail, account.id, details).await
            }
            _ => Ok(None),
        }
    });
}

/// A code to set a new password, if the address is somebody's.
pub(super) fn reset(door: &Door, email: String) {
    let inner = door.clone();
    door.mailer.send_later(async move {
        let account = inner.account(&email).await?;
        match account.active() {
            Some(details) => code(&inner, Purpose::ResetPassword, account.id, details).await,
            None => Ok(None),
        }
    });
}

/// Tells the old address that it is not the account's any more.
pub(crate) fn address_left(door: &Door, person: Uuid, old_email: String) {
    let inner = door.clone();
    door.mailer.send_later(async move {
        if !limits::cause_mail(&inner, person).await? {
            return Ok(None);
        }
        Ok(Some(Mail {
            to: old_email,
            subject: "The e-mail address of your account was changed".into(),
            text:
                "Your account has another e-mail address now, and all its sessions have ended.\n\n\
                If this was not you, tell the shop at once.\n"
                    .into(),
        }))
    });
}

async fn code(
    door: &Door,
    purpose: Purpose,
    person: Uuid,
    details: &Details,
) -> Result<Option<Mail>, Problem> {
    let key = door.vault.open(person).await?;
    let to = details
        .email
        .open(key.as_ref())
        .map_err(|error| Problem::unexpected(&error))?;
    let Some(to) = to else {
        return Ok(None);
    };
    let code = door
        .vault
        .issue_code(purpose, person, &details.email_key, door.clock.now())
        .await?;
    let (subject, what) = match purpose {
        Purpose::VerifyEmail => (
            "Your code to verify this address",
            "shows that this address is yours",
        ),
        Purpose::ResetPassword => ("Your code to set a new password", "sets a new password"),
    };
    let text = format!(
        "{}\n\nThis code {what}. It is good for {} minutes and works once.\n\
         If you did not ask for it, there is nothing to do.\n",
        code.expose_secret(),
        CODE_TTL.as_secs() / 60
    );
    Ok(Some(Mail {
        to,
        subject: subject.into(),
        text,
    }))
}
