//! Tokens of a real OpenID Connect provider: accepted, mapped to roles, and checked with keys that come and go.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use service_kit::oidc::Outside;
use service_kit::settings::OidcSettings;
use service_kit::signing::{AuthError, SigningKey, Tokens};
use service_kit::{Caller, Clock, Role};
use testkit::OidcServer;
use uuid::Uuid;

const AUDIENCE: &str = "the-shop";
const SHOP: &str = "urn:shop";
const MINUTE: Duration = Duration::from_secs(60);

struct Door {
    provider: OidcServer,
    tokens: Arc<Tokens>,
    clock: Clock,
}

impl Door {
    async fn open() -> Self {
        service_kit::crypto::install().unwrap();
        let provider = tokio::task::spawn_blocking(|| OidcServer::start(AUDIENCE))
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::load_or_create(&folder.path().join("signing.key")).unwrap();
        let clock = Clock::manual(Timestamp::now());
        let outside = Outside::of(&OidcSettings {
            issuer: provider.issuer().to_owned(),
            audience: AUDIENCE.to_owned(),
        })
        .unwrap();
        Self {
            tokens: Arc::new(Tokens::new(&key, clock.clone()).accepting(Some(outside))),
            provider,
            clock,
        }
    }

    async fn asks(&self, token: &str) -> Result<Caller, AuthError> {
        self.tokens.authenticate(&format!("Bearer {token}")).await
    }

    async fn token(&self, claims: Value) -> String {
        self.provider.token(SHOP, &claims).await
    }
}

/// The token with its header changed and its signature kept.
fn with_header(token: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let mut header: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(&parts[0]).unwrap()).unwrap();
    change(&mut header);
    parts[0] = URL_SAFE_NO_PAD.encode(header.to_string());
    parts.join(".")
}

#[tokio::test]
async fn a_providers_token_speaks_for_one_caller_with_the_roles_it_names() {
    let door = Door::open().await;
    let partner = Uuid::from_u128(7);
    let token = door
        .token(json!({"roles": ["admin", "wizard"], "partner_id": partner}))
        .await;
    let caller = door.asks(&token).await.unwrap();
    assert_eq!(caller.roles, [Role::Admin]);
    assert_eq!(caller.partner, Some(partner));
    let again = door.asks(&door.token(json!({})).await).await.unwrap();
    assert_eq!(
        (again.subject, again.roles.as_slice()),
        (caller.subject, [Role::Customer].as_slice())
    );
    // Ours are accepted beside them.
    let ours = door
        .tokens
        .issue(Role::Customer, Uuid::from_u128(1), MINUTE)
        .unwrap();
    assert!(door.asks(&ours).await.is_ok());
    assert_eq!(door.provider.keys_asked().await, 1);
}

#[tokio::test]
async fn what_is_not_meant_for_us_is_over_or_was_touched_is_refused() {
    let door = Door::open().await;
    let good = door.token(json!({"roles": ["customer"]})).await;
    assert!(door.asks(&good).await.is_ok());

    let elsewhere = door.provider.token("urn:other", &json!({})).await;
    assert_eq!(door.asks(&elsewhere).await, Err(AuthError::WrongAudience));

    let mut parts: Vec<String> = good.split('.').map(str::to_owned).collect();
    let mut claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(&parts[1]).unwrap()).unwrap();
    claims["roles"] = json!(["admin"]);
    parts[1] = URL_SAFE_NO_PAD.encode(claims.to_string());
    assert_eq!(
        door.asks(&parts.join(".")).await,
        Err(AuthError::BadSignature)
    );

    let none = with_header(&good, |header| header["alg"] = "none".into());
    assert!(door.asks(&none).await.is_err());
    // HMAC with what is public: the classic confusion.
    let hmac = with_header(&good, |header| header["alg"] = "HS256".into());
    assert_eq!(door.asks(&hmac).await, Err(AuthError::WrongAlgorithm));
    let elliptic = with_header(&good, |header| header["alg"] = "ES256".into());
    assert!(door.asks(&elliptic).await.is_err());
    let id_token = with_header(&good, |header| header["typ"] = "logout+jwt".into());
    assert_eq!(door.asks(&id_token).await, Err(AuthError::WrongType));

    door.clock.advance(Duration::from_secs(3_600 + 31));
    assert_eq!(door.asks(&good).await, Err(AuthError::Expired));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_are_fetched_once_for_all_who_ask_and_at_most_once_a_minute() {
    let mut door = Door::open().await;
    let old = door.token(json!({})).await;
    let asked = join_all((0..20).map(|_| door.asks(&old))).await;
    assert!(asked.iter().all(Result::is_ok), "{asked:?}");
    assert_eq!(door.provider.keys_asked().await, 1);

    // Unknown names do not make us ask again and again.
    for n in 0..20 {
        let unknown = with_header(&old, |header| header["kid"] = format!("made-up-{n}").into());
        assert_eq!(door.asks(&unknown).await, Err(AuthError::UnknownKey));
    }
    assert_eq!(door.provider.keys_asked().await, 1);

    door.provider.rotate();
    let new = door.token(json!({})).await;
    assert_eq!(door.asks(&new).await, Err(AuthError::UnknownKey));
    door.clock.advance(MINUTE);
    let asked = join_all((0..20).map(|_| door.asks(&new))).await;
    assert!(asked.iter().all(Result::is_ok), "{asked:?}");
    assert_eq!(door.provider.keys_asked().await, 2);
    // What was withdrawn is not accepted any more.
    assert_eq!(door.asks(&old).await, Err(AuthError::UnknownKey));
}

#[tokio::test]
async fn while_the_provider_is_away_its_known_keys_are_used_and_without_any_the_answer_says_so() {
    let mut door = Door::open().await;
    let token = door.token(json!({})).await;
    door.provider.go_away();
    assert_eq!(door.asks(&token).await, Err(AuthError::KeysUnavailable));
    door.provider.come_back();
    door.clock.advance(MINUTE);
    assert!(door.asks(&token).await.is_ok());
    door.provider.go_away();
    door.clock.advance(20 * MINUTE);
    for _ in 0..3 {
        assert!(door.asks(&token).await.is_ok());
    }
}
