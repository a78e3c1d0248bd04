//! POST /v1/auth/logout: the session of a refresh token ends, and its access tokens with it.

use axum::extract::State;

use service_kit::Problem;

use super::refresh::RefreshToken;
use crate::answer::Answer;
use crate::body::Fields;
use crate::documents::OpenProblems;
use crate::door::Door;

/// Signs out. A token that is of no use any more is answered alike.
#[utoipa::path(
    post,
    path = "/v1/auth/logout",
    tag = "auth",
    operation_id = "logout",
    request_body = RefreshToken,
    responses((status = 204, description = "Signed out, now or before"), OpenProblems),
)]
pub(crate) async fn logout(
    State(door): State<Door>,
    Fields(body): Fields<RefreshToken>,
) -> Result<Answer<()>, Problem> {
    let now = door.clock.now();
    let ended = door.vault.end_session_of(&body.refresh_token, now).await?;
    door.tokens.revoked().add(ended, now);
    Ok(Answer::nothing())
}
