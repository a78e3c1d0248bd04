//! A service account at Google: its key is exchanged for an access token, which is kept until shortly before its end and
//! fetched by one caller for all who wait.

use std::time::Duration;

use event_schema::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use service_kit::Clock;
use service_kit::settings::FcmSettings;
use tokio::sync::Mutex;

use super::http::Api;

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The longest that Google allows.
const ASSERTION_LIVES: Duration = Duration::from_secs(60 * 60);
/// A token is not used when it has less left, so that no call meets its end.
const LEFT_MIN: Duration = Duration::from_secs(2 * 60);
/// After a failure the next caller does not ask again at once.
const PAUSE: Duration = Duration::from_secs(5);

/// Why an account cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// No client can be made.
    #[error("no HTTP client can be made")]
    Client(#[source] reqwest::Error),
    /// The key is not an RSA key.
    #[error("the service account's key is not an RSA key")]
    Key(#[source] jsonwebtoken::errors::Error),
}

/// A service account.
pub(super) struct Account {
    token_endpoint: Api,
    audience: String,
    email: String,
    header: Header,
    key: EncodingKey,
    clock: Clock,
    held: Mutex<Held>,
}

/// The token that is held, and until when nobody asks for another one after a failure.
#[derive(Default)]
struct Held {
    token: Option<(SecretString, Timestamp)>,
    failed: Option<(&'static str, Timestamp)>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({})", self.email)
    }
}

impl Account {
    pub(super) fn new(settings: &FcmSettings, clock: Clock) -> Result<Self, AccountError> {
        let key = EncodingKey::from_rsa_pem(settings.private_key.expose_secret().as_bytes())
            .map_err(AccountError::Key)?;
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(settings.private_key_id.clone());
        Ok(Self {
            token_endpoint: Api::at(&settings.token_uri).map_err(AccountError::Client)?,
            audience: settings.token_uri.clone(),
            email: settings.client_email.clone(),
            header,
            key,
            clock,
            held: Mutex::default(),
        })
    }

    /// A token that is good for a while. Whoever comes while it is fetched waits for the same one.
    pub(super) async fn bearer(&self) -> Result<String, &'static str> {
        let mut held = self.held.lock().await;
        let now = self.clock.now();
        if let Some((token, until)) = &held.token
            && now < *until
        {
            return Ok(token.expose_secret().to_owned());
        }
        if let Some((cause, until)) = held.failed
            && now < until
        {
            return Err(cause);
        }
        match self.fetch(now).await {
            Ok((token, until)) => {
                let bearer = token.expose_secret().to_owned();
                *held = Held {
                    token: Some((token, until)),
                    failed: None,
                };
                Ok(bearer)
            }
            Err(cause) => {
                held.token = None;
                held.failed = now.checked_add(PAUSE).ok().map(|until| (cause, until));
                Err(cause)
            }
        }
    }

    /// Lets go of a token that was refused; one that has taken its place meanwhile stays.
    pub(super) async fn forget(&self, refused: &str) {
        let mut held = self.held.lock().await;
        if matches!(&held.token, Some((token, _)) if token.expose_secret() == refused) {
            held.token = None;
        }
    }

    async fn fetch(&self, now: Timestamp) -> Result<(SecretString, Timestamp), &'static str> {
        let lives = i64::try_from(ASSERTION_LIVES.as_secs()).unwrap_or(i64::MAX);
        let claims = Claims {
            iss: &self.email,
            scope: SCOPE,
            aud: &self.audience,
            iat: now.as_second(),
            exp: now.as_second().saturating_add(lives),
        };
        let assertion = jsonwebtoken::encode(&self.header, &claims, &self.key)
            .map_err(|_| "assertion_unsigned")?;
        let request = self
            .token_endpoint
            .post("")
            .form(&[("grant_type", GRANT), ("assertion", &assertion)]);
        let reply = Api::exchange(request)
            .await
            .map_err(|_| "token_no_answer")?;
        match reply.status {
            200 => {}
            400 | 401 | 403 => return Err("token_refused"),
            _ => return Err("token_unavailable"),
        }
        let granted: Granted = reply.read().ok_or("token_unreadable")?;
        let left = Duration::from_secs(granted.expires_in).saturating_sub(LEFT_MIN);
        let until = now.checked_add(left).map_err(|_| "token_unreadable")?;
        Ok((SecretString::from(granted.access_token), until))
    }
}
