//! The provider's keys: found by discovery, kept, and asked for again when a token names one that is not known, once at
//! a time and at most once a minute. What is kept is used however old it is when the provider is away.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::Mutex;

use super::OutsideError;
use crate::signing::AuthError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two questions to the provider, whatever tokens come in.
const BETWEEN_REFRESHES: Duration = Duration::from_secs(60);
/// Older keys are asked for again in the background, so that one that was withdrawn goes.
const FRESH_FOR: Duration = Duration::from_secs(10 * 60);
/// Discovery documents and key sets have a few kilobytes.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// More keys than this are not a provider's.
const KEYS_MAX: usize = 64;

#[derive(Debug, Error)]
enum FetchError {
    #[error("no answer: {0}")]
    Http(#[from] reqwest::Error),
    #[error("the answer is longer than {DOCUMENT_BYTES_MAX} bytes")]
    TooLong,
    #[error("the answer is not what it should be: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("the document is that of another issuer, `{0}`")]
    OtherIssuer(String),
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Clone)]
struct Known {
    set: Arc<JwkSet>,
    fetched: Timestamp,
}

pub(super) struct Keys(Arc<Shared>);

struct Shared {
    issuer: String,
    http: reqwest::Client,
    known: RwLock<Option<Known>>,
    /// When the provider was last asked; holding it is the right to ask.
    asked: Mutex<Option<Timestamp>>,
}

impl Keys {
    pub(super) fn new(issuer: &str) -> Result<Self, OutsideError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self(Arc::new(Shared {
            issuer: issuer.to_owned(),
            http,
            known: RwLock::new(None),
            asked: Mutex::new(None),
        })))
    }

    /// The key of this name, for this algorithm.
    pub(super) async fn find(
        &self,
        kid: &str,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<DecodingKey, AuthError> {
        if let Some(known) = self.0.known()
            && let Some(key) = fitting(&known.set, kid, algorithm)
        {
            if is_over(known.fetched, FRESH_FOR, now) {
                self.0.refresh_in_background(now);
            }
            return Ok(key);
        }
        self.0
            .refresh(self.0.known().map(|known| known.fetched), now)
            .await;
        match self.0.known() {
            None => Err(AuthError::KeysUnavailable),
            Some(known) => fitting(&known.set, kid, algorithm).ok_or(AuthError::UnknownKey),
        }
    }
}

impl Shared {
    fn known(&self) -> Option<Known> {
        self.known
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    fn refresh_in_background(self: &Arc<Self>, now: Timestamp) {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            // Somebody who asks already asks for all.
            if let Ok(asked) = shared.asked.try_lock() {
                shared.ask(asked, now).await;
            }
        });
    }

    /// Asks the provider, unless somebody did since `seen`, or less than a minute ago.
    async fn refresh(&self, seen: Option<Timestamp>, now: Timestamp) {
        let asked = self.asked.lock().await;
        // Those who queued up here find what the first of them fetched.
        if self.known().map(|known| known.fetched) == seen {
            self.ask(asked, now).await;
        }
    }

    async fn ask(&self, mut asked: tokio::sync::MutexGuard<'_, Option<Timestamp>>, now: Timestamp) {
        if asked.is_some_and(|at| !is_over(at, BETWEEN_REFRESHES, now)) {
            return;
        }
        *asked = Some(now);
        match self.fetch().await {
            Ok(set) => {
                tracing::info!(issuer = %self.issuer, keys = set.keys.len(), "keys of the OIDC provider");
                let known = Known {
                    set: Arc::new(set),
                    fetched: now,
                };
                *self
                    .known
                    .write()
                    .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(known);
            }
            Err(error) => {
                tracing::warn!(issuer = %self.issuer, %error, "the keys of the OIDC provider cannot be had");
            }
        }
    }

    async fn fetch(&self) -> Result<JwkSet, FetchError> {
        let issuer = self.issuer.trim_end_matches('/');
        let discovery: Discovery = self
            .document(&format!("{issuer}/.well-known/openid-configuration"))
            .await?;
        if discovery.issuer != self.issuer {
            return Err(FetchError::OtherIssuer(discovery.issuer));
        }
        // A single key that this library does not know must not hide the others.
        #[derive(Deserialize)]
        struct Loose {
            keys: Vec<serde_json::Value>,
        }
        let loose: Loose = self.document(&discovery.jwks_uri).await?;
        let keys = loose
            .keys
            .into_iter()
            .filter_map(|key| serde_json::from_value::<Jwk>(key).ok())
            .take(KEYS_MAX)
            .collect();
        Ok(JwkSet { keys })
    }

    async fn document<T: DeserializeOwned>(&self, url: &str) -> Result<T, FetchError> {
        let mut answer = self.http.get(url).send().await?.error_for_status()?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if bytes.len() + chunk.len() > DOCUMENT_BYTES_MAX {
                return Err(FetchError::TooLong);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(serde_json::from_slice(&bytes)?)
    }
}

fn is_over(since: Timestamp, span: Duration, now: Timestamp) -> bool {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    now.duration_since(since) >= span
}

/// The key of this name whose kind and own algorithm are those of the token. A token without a name fits a provider that
/// has one key.
fn fitting(set: &JwkSet, kid: &str, algorithm: Algorithm) -> Option<DecodingKey> {
    let jwk = match (kid, set.keys.as_slice()) {
        ("", [only]) => only,
        ("", _) => return None,
        (kid, _) => set.find(kid)?,
    };
    let signs = !matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption));
    let agrees = jwk
        .common
        .key_algorithm
        .is_none_or(|its| its.to_string() == format!("{algorithm:?}"));
    let key = DecodingKey::from_jwk(jwk).ok()?;
    // The algorithm's own family is checked by the library against that of the key.
    (signs && agrees && key.family() != jsonwebtoken::AlgorithmFamily::Hmac).then_some(key)
}
