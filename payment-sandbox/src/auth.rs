//! Who may call `/v1`: whoever presents the secret key, as a bearer token or as the user name of Basic.

use aws_lc_rs::constant_time;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, header};
use secrecy::{ExposeSecret, SecretString};

use crate::error::ApiError;

/// Refuses a call without the right key. The key itself never appears in the answer.
pub(crate) fn check(headers: &HeaderMap, api_key: &SecretString) -> Result<(), ApiError> {
    let presented = presented_key(headers).ok_or_else(|| {
        ApiError::unauthorised("No API key was sent. Send it as 'Authorization: Bearer sk_…' or as the Basic user name.")
    })?;
    // In constant time: the answer's delay must not tell how much of a guess was right.
    constant_time::verify_slices_are_equal(presented.as_bytes(), api_key.expose_secret().as_bytes())
        .map_err(|_| ApiError::unauthorised("The API key is not valid."))
}

fn presented_key(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(credentials.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(BASE64_STANDARD.decode(credentials.trim()).ok()?).ok()?;
        return decoded
            .split_once(':')
            .map(|(user, _password)| user.to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_header(value: &str) -> Result<(), ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        check(&headers, &SecretString::from("sk_test_1"))
    }

    #[test]
    fn the_key_is_accepted_as_bearer_and_as_basic_user_name() {
        assert!(check_header("Bearer sk_test_1").is_ok());
        assert!(check_header(&format!("Basic {}", BASE64_STANDARD.encode("sk_test_1:"))).is_ok());
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "Bearer sk_test_2",
            "Bearer sk_test_1x",
            "Bearer",
            "sk_test_1",
            "Basic sk_test_1",
        ] {
            assert!(check_header(bad).is_err(), "{bad}");
        }
        assert!(check(&HeaderMap::new(), &SecretString::from("sk_test_1")).is_err());
    }
}
