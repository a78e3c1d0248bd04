//! The `Idempotency-Key` header: required where a repeat must not happen twice, accepted elsewhere.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::HeaderMap;
use http::request::Parts;
use uuid::Uuid;

use crate::crypto;
use crate::problem::Problem;

/// The header's name.
pub const HEADER: &str = "idempotency-key";
/// The longest key that is accepted.
pub const MAX_KEY_CHARS: usize = 255;

/// A key that the caller chose for one command. As an extractor it answers 400 `idempotency_key_missing` when there is
/// none; `Option<IdempotencyKey>` accepts that. A malformed key is 400 `idempotency_key_invalid` for both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Accepts 1 to 255 visible ASCII characters.
    ///
    /// # Errors
    /// 400 `idempotency_key_invalid` for anything else.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (1..=MAX_KEY_CHARS).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Self::invalid())
        }
    }

    /// The key as it was sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the command that this caller means by this key.
    #[must_use]
    pub fn command_id(&self, caller: Uuid, area_verb: &str) -> Uuid {
        crypto::command_id(caller, area_verb, &self.0)
    }

    fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(HEADER).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value
                .to_str()
                .map_err(|_| Self::invalid())
                .and_then(Self::parse)
                .map(Some),
            (Some(_), Some(_)) => Err(Self::invalid()),
        }
    }

    fn invalid() -> Problem {
        Problem::bad_request(
            "idempotency_key_invalid",
            format!(
                "Idempotency-Key is sent once, as 1 to {MAX_KEY_CHARS} visible ASCII characters"
            ),
        )
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Self::of(&parts.headers)?.ok_or_else(|| {
            Problem::bad_request(
                "idempotency_key_missing",
                "this command needs the header Idempotency-Key, so that a repeat is not done twice",
            )
        })
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Problem> {
        Self::of(&parts.headers)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    async fn required(values: &[&[u8]]) -> Result<IdempotencyKey, Problem> {
        let mut request = Request::new(());
        for value in values {
            request
                .headers_mut()
                .append(HEADER, http::HeaderValue::from_bytes(value).unwrap());
        }
        let (mut parts, ()) = request.into_parts();
        <IdempotencyKey as FromRequestParts<()>>::from_request_parts(&mut parts, &()).await
    }

    #[tokio::test]
    async fn a_missing_key_is_told_apart_from_a_malformed_one() {
        assert_eq!(
            required(&[]).await.unwrap_err().code(),
            "idempotency_key_missing"
        );
        let long = [b'a'; MAX_KEY_CHARS + 1];
        for bad in [&b""[..], b"two words", b"\xc3\xa4", &long] {
            let problem = required(&[bad]).await.unwrap_err();
            assert_eq!(problem.code(), "idempotency_key_invalid");
            assert_eq!(problem.status(), http::StatusCode::BAD_REQUEST);
        }
        let problem = required(&[b"one", b"two"]).await.unwrap_err();
        assert_eq!(problem.code(), "idempotency_key_invalid");
    }

    #[tokio::test]
    async fn keys_of_one_to_255_visible_characters_are_accepted_as_they_are() {
        let long = [b'~'; MAX_KEY_CHARS];
        for good in [&b"!"[..], b"6f1c7e9a-order-1", &long] {
            assert_eq!(required(&[good]).await.unwrap().as_str().as_bytes(), good);
        }
    }

    #[tokio::test]
    async fn the_optional_form_accepts_none_and_still_refuses_malformed_keys() {
        let (mut parts, ()) = Request::new(()).into_parts();
        let none =
            <IdempotencyKey as OptionalFromRequestParts<()>>::from_request_parts(&mut parts, &())
                .await;
        assert_eq!(none.unwrap(), None);
        parts
            .headers
            .insert(HEADER, http::HeaderValue::from_static("a b"));
        let bad =
            <IdempotencyKey as OptionalFromRequestParts<()>>::from_request_parts(&mut parts, &())
                .await;
        assert_eq!(bad.unwrap_err().code(), "idempotency_key_invalid");
    }
}
