//! A browser's subscription as it gives it out: `{"endpoint": "https://…", "keys": {"p256dh": "…", "auth": "…"}}`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use serde::Deserialize;

use super::encrypt::{AUTH_BYTES, Keys, PUBLIC_BYTES};

/// Where a browser's pushes go and how they are encrypted.
pub(super) struct Subscription {
    pub(super) endpoint: Url,
    pub(super) keys: Keys,
}

#[derive(Deserialize)]
struct Given {
    endpoint: String,
    keys: GivenKeys,
}

#[derive(Deserialize)]
struct GivenKeys {
    p256dh: String,
    auth: String,
}

impl Subscription {
    /// None when it is not a subscription, or its keys are not of the length that they must have.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let given: Given = serde_json::from_str(text).ok()?;
        let public: [u8; PUBLIC_BYTES] = bytes(&given.keys.p256dh)?;
        let auth: [u8; AUTH_BYTES] = bytes(&given.keys.auth)?;
        Some(Self {
            endpoint: Url::parse(&given.endpoint).ok()?,
            keys: Keys { public, auth },
        })
    }

    /// Whom our signature is meant for.
    pub(super) fn origin(&self) -> String {
        self.endpoint.origin().ascii_serialization()
    }
}

/// Browsers write base64url without padding; libraries between them and us add it, or write the other alphabet.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text: String = text
        .trim_end_matches('=')
        .chars()
        .map(|c| match c {
            '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";

    fn given(endpoint: &str, public: &str, auth: &str) -> String {
        format!(
            r#"{{"endpoint":"{endpoint}","expirationTime":null,"keys":{{"p256dh":"{public}","auth":"{auth}"}}}}"#
        )
    }

    #[test]
    fn a_subscription_is_read_as_browsers_and_their_libraries_write_it() {
        for (public, auth) in [
            (PUBLIC.to_owned(), "BTBZMqHH6r4Tts7J_aSIgg"),
            (
                format!("{}=", PUBLIC.replace('-', "+").replace('_', "/")),
                "BTBZMqHH6r4Tts7J/aSIgg==",
            ),
        ] {
            let text = given("https://push.example:8443/send/abc", &public, auth);
            let read = Subscription::parse(&text).unwrap();
            assert_eq!(read.origin(), "https://push.example:8443");
            assert_eq!((read.keys.public[0], read.keys.auth[15]), (4, 0x82));
        }
    }

    #[test]
    fn what_is_no_subscription_is_none() {
        for bad in [
            "{}",
            "{",
            "abc",
            &given("nowhere", PUBLIC, "BTBZMqHH6r4Tts7J_aSIgg"),
            &given("https://push.example", "AAAA", "BTBZMqHH6r4Tts7J_aSIgg"),
            &given("https://push.example", PUBLIC, "AAAA"),
            &given("https://push.example", PUBLIC, "!"),
        ] {
            assert!(Subscription::parse(bad).is_none(), "{bad}");
        }
    }
}
