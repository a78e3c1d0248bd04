//! What somebody who is signed in holds: an access token for minutes, and a refresh token for the next one.

use std::time::Duration;

use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;

use domain::customer::Details;
use service_kit::signing::Grant;
use service_kit::vault::Opened;
use service_kit::{Problem, Role};

use crate::customers::role_of;
use crate::door::Door;

/// How long an access token is good.
const ACCESS_TOKEN_TTL: Duration = Duration::from_secs(10 * 60);

/// The tokens of a session.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
pub(crate) struct TokensBody {
    /// For `Authorization: Bearer`; a JWT, checked with the keys at `/.well-known/jwks.json`.
    access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds that the access token is good.
    #[schema(example = 600)]
    expires_in: u64,
    /// Good once, for the next tokens. Whoever shows it again after it was used ends the session.
    refresh_token: String,
}

impl TokensBody {
    pub(super) fn new(door: &Door, opened: &Opened, details: &Details) -> Result<Self, Problem> {
        let role: Role = role_of(details.role);
        let grant = Grant {
            subject: opened.person,
            roles: vec![role],
            partner: details.partner_id.map(|partner| partner.0),
            session: Some(opened.session),
        };
        let access_token = door
            .tokens
            .issue_grant(grant, ACCESS_TOKEN_TTL)
            .map_err(|error| Problem::unexpected(&error))?;
        Ok(Self {
            access_token,
            token_type: "Bearer",
            expires_in: ACCESS_TOKEN_TTL.as_secs(),
            refresh_token: opened.refresh_token.expose_secret().to_owned(),
        })
    }
}
