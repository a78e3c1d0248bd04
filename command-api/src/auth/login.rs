//! POST /v1/auth/login: e-mail address and password for the tokens of a new session.

use axum::Json;
use axum::extract::State;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use domain::customer::Details;
use service_kit::passwords::{self, Verdict};
use service_kit::{Problem, Vault};
use uuid::Uuid;

use super::limits::{Attempt, Place};
use super::pace::Pace;
use super::tokens::TokensBody;
use crate::body::Fields;
use crate::documents::{BadCredentials, OpenProblems};
use crate::door::Door;
use crate::problem;

/// Somebody who wants to sign in.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Login {
    /// E-mail address, however it is spelt.
    #[schema(max_length = 254, example = "ada@example.org")]
    email: String,
    /// The password.
    #[schema(max_length = 128, example = "correct horse battery")]
    password: String,
}

/// Signs in. A wrong password, an unknown address and a closed account are answered alike, after the same work.
#[utoipa::path(
    post,
    path = "/v1/auth/login",
    tag = "auth",
    operation_id = "login",
    request_body = Login,
    responses(
        (status = 200, description = "Signed in", body = TokensBody),
        BadCredentials, OpenProblems,
    ),
)]
pub(crate) async fn login(
    State(door): State<Door>,
    place: Place,
    Fields(body): Fields<Login>,
) -> Result<Json<TokensBody>, Problem> {
    let pace = Pace::begin();
    let password = SecretString::from(body.password);
    let account = door.account(&body.email).await?;
    let attempt = Attempt::take(&door, &place, &account.email_key, account.id).await?;
    if !passwords::is_possible(&password) {
        return Err(pace.no(problem::invalid_credentials()).await);
    }
    let version = check(&door, account.id, &password).await?;
    let (Some(version), Some(details)) = (version, account.active()) else {
        return Err(pace.no(problem::invalid_credentials()).await);
    };
    let tokens = open(&door, account.id, version, &place, details).await?;
    attempt.give_back().await?;
    Ok(Json(tokens))
}

/// The version of the person's password, if this is it.
pub(super) async fn check(
    door: &Door,
    person: Uuid,
    password: &SecretString,
) -> Result<Option<i64>, Problem> {
    let vault: &Vault = &door.vault;
    let credential = vault.credential(person).await?;
    let stored = credential.as_ref().map(|known| &known.hash);
    let verdict = door.passwords.check(password, stored).await?;
    let version = credential.map(|known| known.version);
    match (verdict, version) {
        (Verdict::Right, version) => Ok(version),
        (Verdict::RightButWeak, Some(version)) => {
            let stronger = door.passwords.hash(password).await?;
            vault.strengthen(person, version, &stronger).await?;
            Ok(Some(version))
        }
        (Verdict::RightButWeak, None) | (Verdict::Wrong, _) => Ok(None),
    }
}

/// A new session of somebody whose password of this version is known to be right.
pub(super) async fn open(
    door: &Door,
    person: Uuid,
    version: i64,
    place: &Place,
    details: &Details,
) -> Result<TokensBody, Problem> {
    let session = door.clock.new_id();
    let opened = door
        .vault
        .open_session(person, version, &place.0, session, door.clock.now())
        .await?
        // The password was changed while we looked.
        .ok_or_else(problem::invalid_credentials)?;
    TokensBody::new(door, &opened, details)
}
