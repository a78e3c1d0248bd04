//! Tokens of an outside OpenID Connect provider: recognised by their issuer, checked with the provider's own keys, and
//! turned into callers.
//!
//! What is taken from them: `sub` becomes the caller's id (UUIDv5 of issuer and subject, so it never meets one of ours),
//! `roles` (a list of names, or one) what he may do, `partner_id` the partner he acts for. Names that are no roles here
//! are passed over; somebody without any role is a customer.

mod keys;

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;
use uuid::Uuid;

use crate::auth::{Caller, Role};
use crate::settings::OidcSettings;
use crate::signing::{AuthError, MAX_TOKEN_BYTES};
use keys::Keys;

/// Outside providers put more into their tokens than we do.
const OUTSIDE_TOKEN_BYTES_MAX: usize = 4 * MAX_TOKEN_BYTES;
/// Clocks differ.
const LEEWAY: Duration = Duration::from_secs(30);
/// Asymmetric ones only: whoever can check must not be able to sign.
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::EdDSA,
];
/// Access tokens of RFC 9068, and of providers that are older than it.
const TYPES: [&str; 3] = ["at+jwt", "application/at+jwt", "jwt"];

/// Why the provider cannot be used.
#[derive(Debug, Error)]
#[error("the client that asks the OIDC provider for its keys cannot be made")]
pub struct OutsideError(#[from] reqwest::Error);

/// One outside provider.
pub struct Outside {
    issuer: String,
    validation: Validation,
    keys: Keys,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    roles: Value,
    #[serde(default)]
    partner_id: Option<Uuid>,
}

impl Outside {
    /// The provider of the settings. It is asked for its keys when the first token comes.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn of(settings: &OidcSettings) -> Result<Self, OutsideError> {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Judged by our own clock, below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Ok(Self {
            issuer: settings.issuer.clone(),
            validation,
            keys: Keys::new(&settings.issuer)?,
        })
    }

    /// Whether the token says that it comes from this provider. Nothing is checked yet.
    pub(crate) fn is_named_by(&self, token: &str) -> bool {
        #[derive(Deserialize)]
        struct Named {
            iss: String,
        }
        if token.len() > OUTSIDE_TOKEN_BYTES_MAX {
            return false;
        }
        token
            .split('.')
            .nth(1)
            .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok())
            .and_then(|bytes| serde_json::from_slice::<Named>(&bytes).ok())
            .is_some_and(|named| named.iss == self.issuer)
    }

    /// Who the token speaks for.
    pub(crate) async fn verify(&self, token: &str, now: Timestamp) -> Result<Caller, AuthError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::Malformed)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(AuthError::WrongAlgorithm);
        }
        let its_type = header.typ.as_deref().unwrap_or("jwt");
        if !TYPES
            .iter()
            .any(|known| its_type.eq_ignore_ascii_case(known))
        {
            return Err(AuthError::WrongType);
        }
        let kid = header.kid.as_deref().unwrap_or_default();
        let key = self.keys.find(kid, header.alg, now).await?;
        let mut validation = self.validation.clone();
        validation.algorithms = vec![header.alg];
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation)
            .map_err(|error| crate::signing::reason(&error))?
            .claims;
        let leeway = i64::try_from(LEEWAY.as_secs()).unwrap_or_default();
        let now = now.as_second();
        let early = claims
            .nbf
            .is_some_and(|nbf| nbf > now.saturating_add(leeway));
        if claims.exp.saturating_add(leeway) <= now || early {
            return Err(AuthError::Expired);
        }
        Ok(self.caller(&claims))
    }

    fn caller(&self, claims: &Claims) -> Caller {
        // Neither an issuer (a URL) nor the length before it can be taken for the other.
        let name = format!("{}\n{}", self.issuer, claims.sub);
        let subject = Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes());
        let named: Vec<&str> = match &claims.roles {
            Value::String(one) => vec![one.as_str()],
            Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let mut roles: Vec<Role> = named.iter().filter_map(|name| name.parse().ok()).collect();
        roles.sort();
        roles.dedup();
        if roles.is_empty() {
            roles.push(Role::Customer);
        }
        Caller {
            partner: claims.partner_id,
            ..Caller::new(subject, roles)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outside() -> Outside {
        crate::crypto::install().unwrap();
        Outside::of(&OidcSettings {
            issuer: "https://id.example".into(),
            audience: "shop".into(),
        })
        .unwrap()
    }

    fn caller(claims: Value) -> Caller {
        outside().caller(&serde_json::from_value(claims).unwrap())
    }

    #[test]
    fn roles_are_taken_from_the_claim_and_what_is_no_role_is_passed_over() {
        let roles = |roles: Value| caller(json!({"sub": "ada", "exp": 1, "roles": roles})).roles;
        assert_eq!(roles(json!(["admin", "wizard"])), [Role::Admin]);
        assert_eq!(roles(json!("deliverer")), [Role::Deliverer]);
        assert_eq!(roles(json!([])), [Role::Customer]);
        assert_eq!(roles(json!(null)), [Role::Customer]);
        assert_eq!(roles(json!(["admin", "admin"])), [Role::Admin]);
    }

    #[test]
    fn one_subject_is_one_caller_for_ever_and_two_are_two() {
        let id = |sub: &str| caller(json!({"sub": sub, "exp": 1})).subject;
        assert_eq!(id("ada"), id("ada"));
        assert_ne!(id("ada"), id("bob"));
        assert_eq!(id("ada").get_version_num(), 5);
    }

    #[test]
    fn only_a_token_that_names_the_issuer_is_the_providers() {
        let token = |iss: &str| {
            format!(
                "e30.{}.x",
                URL_SAFE_NO_PAD.encode(json!({"iss": iss}).to_string())
            )
        };
        assert!(outside().is_named_by(&token("https://id.example")));
        for other in ["https://id.example/", "waybill", ""] {
            assert!(!outside().is_named_by(&token(other)), "{other}");
        }
        for garbage in ["", "a.b.c", "..", "x"] {
            assert!(!outside().is_named_by(garbage), "{garbage}");
        }
    }
}
