//! By which a push service knows who sends (RFC 8292): a token for its origin, signed with the shop's key.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use event_schema::Timestamp;
use serde_json::json;
use service_kit::crypto::CryptoError;
use service_kit::settings::WebPushSettings;

/// Push services refuse tokens that are good for more than a day.
const LIVES: Duration = Duration::from_secs(12 * 60 * 60);

/// The value of `Authorization` for a push service's origin.
///
/// # Errors
/// When the system gives no randomness.
pub(super) fn authorization(
    settings: &WebPushSettings,
    origin: &str,
    now: Timestamp,
) -> Result<String, CryptoError> {
    let lives = i64::try_from(LIVES.as_secs()).unwrap_or(i64::MAX);
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "aud": origin,
        "exp": now.as_second().saturating_add(lives),
        "sub": settings.subject,
    });
    let signed = format!(
        "{}.{}",
        part(json!({ "typ": "JWT", "alg": "ES256" })),
        part(claims)
    );
    let signature = URL_SAFE_NO_PAD.encode(settings.key.sign(signed.as_bytes())?);
    Ok(format!(
        "vapid t={signed}.{signature}, k={}",
        settings.key.public_text()
    ))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};
    use serde_json::Value;
    use service_kit::push_key::PushKey;

    use super::*;

    #[test]
    fn a_token_is_for_one_origin_signed_with_the_shops_key_and_ends_within_a_day() {
        let settings = WebPushSettings {
            key: PushKey::fresh().unwrap(),
            subject: "mailto:shop@example.com".into(),
        };
        let now = Timestamp::now();
        let value = authorization(&settings, "https://push.example", now).unwrap();
        let (token, key) = value
            .strip_prefix("vapid t=")
            .unwrap()
            .split_once(", k=")
            .unwrap();
        assert_eq!(key, settings.key.public_text());
        let public = settings.key.public();
        let x = URL_SAFE_NO_PAD.encode(&public[1..33]);
        let y = URL_SAFE_NO_PAD.encode(&public[33..]);
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_audience(&["https://push.example"]);
        let key = DecodingKey::from_ec_components(&x, &y).unwrap();
        let read = jsonwebtoken::decode::<Value>(token, &key, &rules).unwrap();
        assert_eq!(read.claims["sub"], "mailto:shop@example.com");
        let lives = read.claims["exp"].as_i64().unwrap() - now.as_second();
        assert!(lives > 0 && lives <= 24 * 60 * 60, "{lives}");
        rules.set_audience(&["https://other.example"]);
        assert!(jsonwebtoken::decode::<Value>(token, &key, &rules).is_err());
    }
}
