//! `waybill token`: a bearer token signed with the installation's key, made if there is none yet.

use std::time::Duration;

use event_schema::ids::derived;
use service_kit::signing::{SigningKey, Tokens};
use service_kit::{Clock, Role, Settings};
use uuid::Uuid;

use crate::out;

/// Prints the bare token.
pub fn print(
    settings: &Settings,
    role: Role,
    subject: Option<Uuid>,
    ttl: Duration,
) -> anyhow::Result<()> {
    let key = SigningKey::load_or_create(&settings.signing_key_file)?;
    let subject = subject.unwrap_or_else(|| default_subject(role));
    out::line(Tokens::new(&key, Clock::system()).issue(role, subject, ttl)?);
    Ok(())
}

/// Who a token without a subject speaks for: always the same for a role.
fn default_subject(role: Role) -> Uuid {
    derived(&["token", role.name()])
}
