//! POST /v1/auth/password/change: who knows the old password sets a new one; all sessions end.

use axum::extract::State;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use service_kit::{Caller, Problem, Validation, passwords};

use super::limits::{Attempt, Place};
use super::login;
use crate::answer::Answer;
use crate::body::Fields;
use crate::documents::{OpenProblems, WrongPassword};
use crate::door::Door;
use crate::problem;

/// The old password and the new one.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ChangePassword {
    /// The password until now.
    #[serde(alias = "old_password")]
    #[schema(max_length = 128, example = "correct horse battery")]
    current_password: String,
    /// 8 to 128 characters, at most 512 bytes.
    #[schema(min_length = 8, max_length = 128, example = "staple battery horse")]
    new_password: String,
}

/// Changes the password. All sessions end; the access token that this was asked with lives out its minutes, so sign in
/// again before it ends.
#[utoipa::path(
    post,
    path = "/v1/auth/password/change",
    tag = "auth",
    operation_id = "change_password",
    request_body = ChangePassword,
    responses(
        (status = 204, description = "The password is the new one"),
        WrongPassword, OpenProblems,
    ),
)]
pub(crate) async fn change_password(
    State(door): State<Door>,
    caller: Caller,
    place: Place,
    Fields(body): Fields<ChangePassword>,
) -> Result<Answer<()>, Problem> {
    let current = SecretString::from(body.current_password);
    let new = SecretString::from(body.new_password);
    let mut validation = Validation::new();
    passwords::validate(&mut validation, "/new_password", &new);
    validation.finish()?;
    // Counted as a sign-in of this person: whoever has stolen a token guesses no faster here.
    let whose = caller.subject.to_string();
    let attempt = Attempt::take(&door, &place, &whose, caller.subject).await?;
    if !passwords::is_possible(&current)
        || login::check(&door, caller.subject, &current)
            .await?
            .is_none()
    {
        return Err(problem::wrong_password());
    }
    let hash = door.passwords.hash(&new).await?;
    let now = door.clock.now();
    let ended = door
        .vault
        .change_password(caller.subject, &hash, caller.session, now)
        .await?;
    door.tokens.revoked().add(ended, now);
    attempt.give_back().await?;
    Ok(Answer::nothing())
}
