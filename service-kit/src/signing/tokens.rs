//! Access tokens: JWTs signed with Ed25519, checked for algorithm, key, type, issuer, audience and time.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::checked::{Checked, CheckedTokens};
use super::jwks::JwkSet;
use super::key_file::SigningKey;
use super::revoked::Revoked;
use crate::auth::{Caller, Role};
use crate::oidc::Outside;
use crate::time::Clock;

/// Issuer and audience of our tokens.
pub const ISSUER: &str = "waybill";
/// A token longer than this is refused unread.
pub const MAX_TOKEN_BYTES: usize = 4 * 1024;
/// RFC 9068: the type of an access token.
const TOKEN_TYPE: &str = "at+jwt";
/// How many bytes of the public key's hash name the key.
const KEY_ID_BYTES: usize = 12;

/// Why a token is not accepted. The text is safe to show to whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuthError {
    /// Not `Bearer <token>`.
    #[error("the Authorization header is not of the form `Bearer <token>`")]
    NotBearer,
    /// Not a JWT of ours at all.
    #[error("the token cannot be read")]
    Malformed,
    /// Signed with something else than Ed25519, or not signed.
    #[error("the token is not signed with an algorithm that is accepted here")]
    WrongAlgorithm,
    /// Signed with another key.
    #[error("the token is signed with a key that this installation does not know")]
    UnknownKey,
    /// The signature does not belong to the content.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// Not an access token.
    #[error("the token is not an access token (typ at+jwt)")]
    WrongType,
    /// Made by someone else.
    #[error("the token has another issuer")]
    WrongIssuer,
    /// Made for someone else.
    #[error("the token is meant for another audience")]
    WrongAudience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its session was ended.
    #[error("the session of the token has ended; sign in again")]
    Ended,
    /// The keys of the outside provider that it names cannot be had.
    #[error("the keys of the token's issuer cannot be had at the moment")]
    KeysUnavailable,
    /// An admin calls from a network that admins may not use.
    #[error("admins cannot act from this network")]
    NetworkNotAllowed,
}

/// Why a token cannot be made.
#[derive(Debug, Error)]
#[error("the token cannot be signed: {0}")]
pub struct IssueError(#[from] jsonwebtoken::errors::Error);

/// Whom a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The account's id.
    pub subject: Uuid,
    /// What it may do.
    pub roles: Vec<Role>,
    /// The partner it acts for.
    pub partner: Option<Uuid>,
    /// The sign-in it comes from; when that ends, the token is void.
    pub session: Option<Uuid>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    roles: Vec<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partner_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<Uuid>,
    iat: i64,
    exp: i64,
    jti: Uuid,
}

/// Makes and checks access tokens.
pub struct Tokens {
    signing: EncodingKey,
    verifying: DecodingKey,
    key_id: String,
    public: JwkSet,
    validation: Validation,
    clock: Clock,
    revoked: Revoked,
    outside: Option<Outside>,
    checked: CheckedTokens,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl Tokens {
    /// Tokens under the installation's key, judged by the given clock.
    #[must_use]
    pub fn new(key: &SigningKey, clock: Clock) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The library would read the wall clock; `verify` asks ours.
        validation.validate_exp = false;
        let hash = digest::digest(&digest::SHA256, key.public());
        let name = hash.as_ref().get(..KEY_ID_BYTES).unwrap_or(hash.as_ref());
        let key_id = URL_SAFE_NO_PAD.encode(name);
        Self {
            signing: EncodingKey::from_ed_der(key.pkcs8()),
            verifying: DecodingKey::from_ed_der(key.public()),
            public: JwkSet::of(&key_id, key.public()),
            key_id,
            validation,
            clock,
            revoked: Revoked::default(),
            outside: None,
            checked: CheckedTokens::default(),
        }
    }

    /// Accepts the tokens of an outside provider too.
    #[must_use]
    pub fn accepting(self, outside: Option<Outside>) -> Self {
        Self { outside, ..self }
    }

    /// What others check our tokens with.
    #[must_use]
    pub fn public_keys(&self) -> &JwkSet {
        &self.public
    }

    /// Sessions whose tokens are void.
    #[must_use]
    pub fn revoked(&self) -> &Revoked {
        &self.revoked
    }

    /// A token for one role. For a partner the subject is the partner's id.
    ///
    /// # Errors
    /// When the library cannot sign.
    pub fn issue(&self, role: Role, subject: Uuid, ttl: Duration) -> Result<String, IssueError> {
        self.issue_roles(vec![role], subject, ttl)
    }

    /// A token for several roles at once.
    ///
    /// # Errors
    /// When the library cannot sign.
    pub fn issue_roles(
        &self,
        roles: Vec<Role>,
        subject: Uuid,
        ttl: Duration,
    ) -> Result<String, IssueError> {
        let grant = Grant {
            subject,
            roles,
            partner: None,
            session: None,
        };
        self.issue_grant(grant, ttl)
    }

    /// A token that says all there is to say about its holder.
    ///
    /// # Errors
    /// When the library cannot sign.
    pub fn issue_grant(&self, grant: Grant, ttl: Duration) -> Result<String, IssueError> {
        let now = self.clock.now().as_second();
        let ttl_seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(self.key_id.clone());
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: ISSUER.to_owned(),
            sub: grant.subject,
            roles: grant.roles,
            partner_id: grant.partner,
            sid: grant.session,
            iat: now,
            exp: now.saturating_add(ttl_seconds),
            jti: self.clock.new_id(),
        };
        Ok(jsonwebtoken::encode(&header, &claims, &self.signing)?)
    }

    /// Who the value of an `Authorization` header speaks for, at whatever door it came in.
    ///
    /// # Errors
    /// When it is not `Bearer <token>`, or the token is not accepted.
    pub fn verify_authorization(&self, value: &str) -> Result<Caller, AuthError> {
        self.verify(bearer(value)?)
    }

    /// As [`Tokens::verify_authorization`], for tokens of the outside provider too, whose keys may have to be fetched.
    ///
    /// # Errors
    /// When it is not `Bearer <token>`, or the token is not accepted.
    pub async fn authenticate(&self, value: &str) -> Result<Caller, AuthError> {
        let token = bearer(value)?;
        match &self.outside {
            Some(outside) if outside.is_named_by(token) => {
                outside.verify(token, self.clock.now()).await
            }
            _ => self.verify(token),
        }
    }

    /// Who the token speaks for, if it is one of ours.
    ///
    /// # Errors
    /// When the token is not one of ours, was tampered with or has expired.
    pub fn verify(&self, token: &str) -> Result<Caller, AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::Malformed);
        }
        let checked = match self.checked.get(token) {
            Some(checked) => checked,
            None => {
                let checked = self.check(token)?;
                self.checked.put(token, checked.clone());
                checked
            }
        };
        if checked.expires <= self.clock.now().as_second() {
            return Err(AuthError::Expired);
        }
        let session = checked.caller.session;
        if session.is_some_and(|session| self.revoked.contains(session)) {
            return Err(AuthError::Ended);
        }
        Ok(checked.caller)
    }

    /// Everything about a token that stays as it is.
    fn check(&self, token: &str) -> Result<Checked, AuthError> {
        let header = jsonwebtoken::decode_header(token).map_err(|error| reason(&error))?;
        if header.alg != Algorithm::EdDSA {
            return Err(AuthError::WrongAlgorithm);
        }
        if !header
            .typ
            .as_deref()
            .is_some_and(|typ| typ.eq_ignore_ascii_case(TOKEN_TYPE))
        {
            return Err(AuthError::WrongType);
        }
        if header.kid.as_deref() != Some(self.key_id.as_str()) {
            return Err(AuthError::UnknownKey);
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.verifying, &self.validation)
            .map_err(|error| reason(&error))?
            .claims;
        let caller = Caller {
            partner: claims.partner_id,
            session: claims.sid,
            ..Caller::new(claims.sub, claims.roles)
        };
        Ok(Checked {
            caller,
            expires: claims.exp,
        })
    }
}

fn bearer(value: &str) -> Result<&str, AuthError> {
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(AuthError::NotBearer),
    }
}

pub(crate) fn reason(error: &jsonwebtoken::errors::Error) -> AuthError {
    match error.kind() {
        ErrorKind::InvalidSignature => AuthError::BadSignature,
        ErrorKind::InvalidIssuer => AuthError::WrongIssuer,
        ErrorKind::InvalidAudience => AuthError::WrongAudience,
        ErrorKind::ExpiredSignature => AuthError::Expired,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => AuthError::WrongAlgorithm,
        // Everything else is a token that no version of ours has ever made.
        _ => AuthError::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn key() -> SigningKey {
        let folder = tempfile::tempdir().unwrap();
        SigningKey::load_or_create(&folder.path().join("signing.key")).unwrap()
    }

    fn clock() -> Clock {
        Clock::manual(Timestamp::from_second(1_800_000_000).unwrap())
    }

    fn part(token: &str, index: usize) -> serde_json::Value {
        let part = token.split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    /// A token of our key with its header and claims as the test wants them.
    fn forged(key: &SigningKey, header: serde_json::Value, claims: serde_json::Value) -> String {
        let pair = aws_lc_rs::signature::Ed25519KeyPair::from_pkcs8(key.pkcs8()).unwrap();
        let content = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature = pair.sign(content.as_bytes());
        format!("{content}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    #[test]
    fn a_token_speaks_for_its_subject_and_role() {
        let tokens = Tokens::new(&key(), clock());
        let subject = Uuid::from_u128(7);
        let token = tokens.issue(Role::Customer, subject, HOUR).unwrap();
        let caller = tokens.verify(&token).unwrap();
        assert_eq!(caller.subject, subject);
        assert_eq!(caller.roles, [Role::Customer]);
        assert_eq!(caller.partner_id(), None);
    }

    #[test]
    fn a_partners_token_carries_the_partners_id_as_its_subject() {
        let tokens = Tokens::new(&key(), clock());
        let partner = Uuid::from_u128(9);
        let token = tokens.issue(Role::Partner, partner, HOUR).unwrap();
        assert_eq!(tokens.verify(&token).unwrap().partner_id(), Some(partner));
    }

    #[test]
    fn a_partners_person_has_the_partner_in_his_token_and_the_session_voids_it() {
        let tokens = Tokens::new(&key(), clock());
        let (person, partner, session) =
            (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let grant = Grant {
            subject: person,
            roles: vec![Role::Partner],
            partner: Some(partner),
            session: Some(session),
        };
        let token = tokens.issue_grant(grant, HOUR).unwrap();
        let caller = tokens.verify(&token).unwrap();
        assert_eq!(
            (caller.subject, caller.partner_id(), caller.session),
            (person, Some(partner), Some(session))
        );
        tokens.revoked().add([session], clock().now());
        assert_eq!(tokens.verify(&token), Err(AuthError::Ended));
    }

    #[test]
    fn only_tokens_that_were_found_good_are_remembered() {
        let key = key();
        let tokens = Tokens::new(&key, clock());
        let token = tokens.issue(Role::Admin, Uuid::from_u128(1), HOUR).unwrap();
        let mut tampered = token.clone();
        tampered.truncate(token.len() - 8);
        tampered.push_str("AAAAAAAA");
        for _ in 0..2 {
            assert_eq!(tokens.verify(&tampered), Err(AuthError::BadSignature));
        }
        assert_eq!(tokens.checked.len(), 0);
        let first = tokens.verify(&token).unwrap();
        assert_eq!(tokens.verify(&token).unwrap(), first);
        assert_eq!(tokens.checked.len(), 1);
        assert_eq!(tokens.verify(&tampered), Err(AuthError::BadSignature));
    }

    #[test]
    fn the_published_key_is_the_one_that_tokens_name_and_checks_them() {
        let tokens = Tokens::new(&key(), clock());
        let published = serde_json::to_value(tokens.public_keys()).unwrap();
        let token = tokens.issue(Role::Admin, Uuid::from_u128(1), HOUR).unwrap();
        let jwk: jsonwebtoken::jwk::Jwk =
            serde_json::from_value(published["keys"][0].clone()).unwrap();
        assert_eq!(
            jwk.common.key_id.as_deref(),
            part(&token, 0)["kid"].as_str()
        );
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[ISSUER]);
        validation.validate_exp = false;
        let theirs = DecodingKey::from_jwk(&jwk).unwrap();
        assert!(jsonwebtoken::decode::<Claims>(&token, &theirs, &validation).is_ok());
    }

    #[test]
    fn a_token_says_what_it_is_in_the_form_of_rfc_9068() {
        let tokens = Tokens::new(&key(), clock());
        let token = tokens.issue(Role::Admin, Uuid::from_u128(1), HOUR).unwrap();
        let (header, claims) = (part(&token, 0), part(&token, 1));
        assert_eq!(header["alg"], "EdDSA");
        assert_eq!(header["typ"], "at+jwt");
        assert_eq!(header["kid"], tokens.key_id.as_str());
        assert_eq!(claims["iss"], "waybill");
        assert_eq!(claims["aud"], "waybill");
        assert_eq!(claims["roles"], serde_json::json!(["admin"]));
        assert_eq!(claims["iat"], 1_800_000_000);
        assert_eq!(claims["exp"], 1_800_003_600);
    }

    #[test]
    fn a_token_expires_to_the_second() {
        let clock = clock();
        let tokens = Tokens::new(&key(), clock.clone());
        let token = tokens
            .issue(Role::Customer, Uuid::from_u128(1), HOUR)
            .unwrap();
        clock.advance(HOUR - Duration::from_secs(1));
        assert!(tokens.verify(&token).is_ok());
        clock.advance(Duration::from_secs(1));
        assert_eq!(tokens.verify(&token), Err(AuthError::Expired));
    }

    #[test]
    fn a_tampered_token_is_refused() {
        let tokens = Tokens::new(&key(), clock());
        let token = tokens
            .issue(Role::Customer, Uuid::from_u128(1), HOUR)
            .unwrap();
        let mut claims = part(&token, 1);
        claims["roles"] = serde_json::json!(["admin"]);
        let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        parts[1] = URL_SAFE_NO_PAD.encode(claims.to_string());
        assert_eq!(
            tokens.verify(&parts.join(".")),
            Err(AuthError::BadSignature)
        );
    }

    #[test]
    fn a_token_of_another_installation_is_refused() {
        let ours = Tokens::new(&key(), clock());
        let theirs = Tokens::new(&key(), clock());
        let token = theirs.issue(Role::Admin, Uuid::from_u128(1), HOUR).unwrap();
        assert_eq!(ours.verify(&token), Err(AuthError::UnknownKey));
    }

    #[test]
    fn another_installations_signature_under_our_key_id_is_refused() {
        let (our_key, their_key) = (key(), key());
        let ours = Tokens::new(&our_key, clock());
        let token = ours.issue(Role::Admin, Uuid::from_u128(1), HOUR).unwrap();
        let forged = forged(&their_key, part(&token, 0), part(&token, 1));
        assert_eq!(ours.verify(&forged), Err(AuthError::BadSignature));
    }

    #[test]
    fn unsigned_and_hmac_tokens_are_refused_whatever_they_claim() {
        let key = key();
        let tokens = Tokens::new(&key, clock());
        let good = tokens.issue(Role::Admin, Uuid::from_u128(1), HOUR).unwrap();
        let claims = part(&good, 1);

        let none = format!(
            "{}.{}.",
            URL_SAFE_NO_PAD.encode(format!(
                r#"{{"alg":"none","typ":"at+jwt","kid":"{}"}}"#,
                tokens.key_id
            )),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        assert!(tokens.verify(&none).is_err());

        // The classic confusion: HMAC keyed with the public key, which everybody may know.
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(tokens.key_id.clone());
        let hmac = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(key.public()))
            .unwrap();
        assert_eq!(tokens.verify(&hmac), Err(AuthError::WrongAlgorithm));
    }

    #[test]
    fn type_issuer_and_audience_must_be_ours() {
        let key = key();
        let tokens = Tokens::new(&key, clock());
        let good = tokens.issue(Role::Admin, Uuid::from_u128(1), HOUR).unwrap();
        let (header, claims) = (part(&good, 0), part(&good, 1));
        assert!(
            tokens
                .verify(&forged(&key, header.clone(), claims.clone()))
                .is_ok()
        );

        let mut other = header.clone();
        other["typ"] = "JWT".into();
        assert_eq!(
            tokens.verify(&forged(&key, other, claims.clone())),
            Err(AuthError::WrongType)
        );
        let mut other = claims.clone();
        other["iss"] = "someone".into();
        assert_eq!(
            tokens.verify(&forged(&key, header.clone(), other)),
            Err(AuthError::WrongIssuer)
        );
        let mut other = claims.clone();
        other["aud"] = "someone".into();
        assert_eq!(
            tokens.verify(&forged(&key, header.clone(), other)),
            Err(AuthError::WrongAudience)
        );
        for needed in ["exp", "iss", "aud", "sub", "roles"] {
            let mut other = claims.clone();
            other.as_object_mut().unwrap().remove(needed);
            assert!(
                tokens.verify(&forged(&key, header.clone(), other)).is_err(),
                "a token without {needed} must be refused"
            );
        }
    }

    #[test]
    fn an_authorization_is_a_bearer_token_and_nothing_else() {
        let tokens = Tokens::new(&key(), clock());
        let token = tokens
            .issue(Role::Customer, Uuid::from_u128(1), HOUR)
            .unwrap();
        for good in [format!("Bearer {token}"), format!("bearer  {token} ")] {
            assert!(tokens.verify_authorization(&good).is_ok(), "{good}");
        }
        for bad in [token.clone(), format!("Basic {token}"), "Bearer".to_owned()] {
            assert_eq!(
                tokens.verify_authorization(&bad),
                Err(AuthError::NotBearer),
                "{bad}"
            );
        }
    }

    #[test]
    fn garbage_is_refused_without_a_panic() {
        let tokens = Tokens::new(&key(), clock());
        let long = "a".repeat(MAX_TOKEN_BYTES + 1);
        for garbage in ["", ".", "..", "a.b.c", "ä.ö.ü", long.as_str()] {
            assert_eq!(
                tokens.verify(garbage),
                Err(AuthError::Malformed),
                "{garbage:.20}"
            );
        }
    }
}
