//! POST /v1/auth/password/reset: the code that came by mail sets a new password, ends all sessions and opens one.

use axum::Json;
use axum::extract::State;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use service_kit::vault::Purpose;
use service_kit::{Problem, Validation, passwords};

use super::limits::{self, Place};
use super::login;
use super::pace::Pace;
use super::tokens::TokensBody;
use crate::body::Fields;
use crate::documents::{BadCode, OpenProblems};
use crate::door::Door;
use crate::problem;

/// A new password, and the code that allows it.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ResetPassword {
    /// The address that the code was sent to.
    #[schema(max_length = 254, example = "ada@example.org")]
    email: String,
    /// The code: eight digits, good for 15 minutes and five tries.
    #[schema(max_length = 32, example = "01234567")]
    code: String,
    /// 8 to 128 characters, at most 512 bytes.
    #[serde(alias = "password")]
    #[schema(min_length = 8, max_length = 128, example = "correct horse battery")]
    new_password: String,
}

/// Sets a new password. All sessions end, and a new one is opened: this is also the way in for somebody whose password
/// others keep guessing at.
#[utoipa::path(
    post,
    path = "/v1/auth/password/reset",
    tag = "auth",
    operation_id = "reset_password",
    request_body = ResetPassword,
    responses(
        (status = 200, description = "The password is the new one, and this is a new session", body = TokensBody),
        OpenProblems, BadCode,
    ),
)]
pub(crate) async fn reset_password(
    State(door): State<Door>,
    place: Place,
    Fields(body): Fields<ResetPassword>,
) -> Result<Json<TokensBody>, Problem> {
    let password = SecretString::from(body.new_password);
    let mut validation = Validation::new();
    passwords::validate(&mut validation, "/new_password", &password);
    validation.finish()?;
    let pace = Pace::begin();
    limits::try_code(&door, &place).await?;
    let account = door.account(&body.email).await?;
    let now = door.clock.now();
    let used = door
        .vault
        .use_code(Purpose::ResetPassword, account.id, &body.code, now)
        .await?;
    // A code to an address that has become somebody else's opens nothing.
    let details = match (used, account.active()) {
        (Some(about), Some(details)) if about == account.email_key => details,
        _ => return Err(pace.no(problem::invalid_code()).await),
    };
    let hash = door.passwords.hash(&password).await?;
    let ended = door
        .vault
        .change_password(account.id, &hash, None, now)
        .await?;
    door.tokens.revoked().add(ended, now);
    let credential = door.vault.credential(account.id).await?;
    let version = credential.map_or(0, |known| known.version);
    let tokens = login::open(&door, account.id, version, &place, details).await?;
    Ok(Json(tokens))
}
