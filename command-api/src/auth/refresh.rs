//! POST /v1/auth/refresh: the next tokens of a session, with what the person may do by now.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use domain::customer::Customer;
use event_store::Freshness;
use service_kit::Problem;
use service_kit::vault::Rotation;

use super::tokens::TokensBody;
use crate::body::Fields;
use crate::documents::{BadRefreshToken, OpenProblems};
use crate::door::Door;
use crate::problem;

/// A refresh token.
#[derive(Deserialize, ToSchema)]
pub(crate) struct RefreshToken {
    /// As it was answered by login or by the last refresh.
    #[schema(example = "Xc0mQh1bN0l3rT9yZ5uJ2kV8wA6sD4fG7hE1oP3iLxU")]
    pub(super) refresh_token: String,
}

/// Exchanges a refresh token for new tokens. It is good once: whoever shows it again ends the session, unless its
/// successor has not been used and ten seconds have not passed, which is answered with the same successor.
#[utoipa::path(
    post,
    path = "/v1/auth/refresh",
    tag = "auth",
    operation_id = "refresh",
    request_body = RefreshToken,
    responses(
        (status = 200, description = "New tokens of the same session", body = TokensBody),
        BadRefreshToken, OpenProblems,
    ),
)]
pub(crate) async fn refresh(
    State(door): State<Door>,
    Fields(body): Fields<RefreshToken>,
) -> Result<Json<TokensBody>, Problem> {
    let now = door.clock.now();
    let opened = match door.vault.rotate(&body.refresh_token, now).await? {
        Rotation::Fresh(opened) => opened,
        Rotation::Reused { session, person } => {
            tracing::warn!(customer.id = %person, "a used refresh token was shown again; its session has been ended");
            metrics::counter!("waybill_refresh_tokens_reused_total").increment(1);
            door.tokens.revoked().add([session], now);
            return Err(problem::invalid_refresh_token());
        }
        Rotation::Unknown => return Err(problem::invalid_refresh_token()),
    };
    let load = door
        .executor
        .load::<Customer>(opened.person, Freshness::Leader);
    let customer = match tokio::time::timeout(crate::door::LOG_LIMIT, load).await {
        Ok(loaded) => loaded.map_err(problem::of_load)?,
        Err(_) => return Err(Problem::broker_unavailable()),
    };
    match customer.state.active() {
        Some(details) => Ok(Json(TokensBody::new(&door, &opened, details)?)),
        None => {
            let ended = door
                .vault
                .end_sessions(opened.person, None, "account_closed", now)
                .await?;
            door.tokens.revoked().add(ended, now);
            Err(problem::invalid_refresh_token())
        }
    }
}
