//! Messages signed as Standard Webhooks says, those of partners to us and ours to them: `webhook-signature` is a list of
//! `v1,<base64>` divided by spaces, each an HMAC-SHA256 over `<webhook-id>.<webhook-timestamp>.<raw body>` under the key
//! that the secret `whsec_<base64>` holds.
//!
//! The raw bytes are checked before anything of them is parsed. Nothing of an unsigned body reaches a decider.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

/// The vault's name for the secret that a partner and we share.
pub const PARTNER_SECRET: &str = "partner_webhook";

/// Which message it is; a repeat has the same.
pub const ID: &str = "webhook-id";
/// When it was sent, in Unix seconds.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The signatures.
pub const SIGNATURE: &str = "webhook-signature";
/// What every secret begins with.
const SECRET_PREFIX: &str = "whsec_";
/// How far the message's time may be from ours, either way.
const TOLERANCE_SECONDS: i64 = 5 * 60;
/// A sender that rotates its secret sends a few signatures, never many.
const MAX_SIGNATURES: usize = 16;
/// Longer ids are nobody's.
const MAX_ID_BYTES: usize = 256;
/// Longer headers are not looked into.
const MAX_HEADER_BYTES: usize = 4096;

/// Why a message is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StandardSignatureError {
    /// A header is not there, or has another form.
    #[error(
        "the headers webhook-id, webhook-timestamp (Unix seconds) and webhook-signature (v1,<base64>) are all needed, once each"
    )]
    Malformed,
    /// The message was signed too long ago, or in the future.
    #[error("webhook-timestamp is more than 5 minutes away from our time")]
    OutsideTolerance,
    /// None of the signatures was made with the secret over this message.
    #[error("no signature matches the message")]
    Mismatch,
}

/// The key that a secret holds; none when it is not of the form `whsec_<base64>`.
#[must_use]
pub fn key(secret: &str) -> Option<hmac::Key> {
    let bytes = STANDARD.decode(secret.strip_prefix(SECRET_PREFIX)?).ok()?;
    (!bytes.is_empty()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

/// The message's id, if one of its signatures was made with one of the keys within the tolerance.
///
/// # Errors
/// When a header is missing, doubled or of another form, no signature is good, or it is too old or of the future.
pub fn verify<'h>(
    headers: &'h HeaderMap,
    body: &[u8],
    keys: &[hmac::Key],
    now: Timestamp,
) -> Result<&'h str, StandardSignatureError> {
    let id = once(headers, ID)?;
    let sent_at = once(headers, TIMESTAMP)?;
    let signatures = once(headers, SIGNATURE)?;
    if id.is_empty() || id.len() > MAX_ID_BYTES {
        return Err(StandardSignatureError::Malformed);
    }
    let seconds: i64 = sent_at
        .parse()
        .map_err(|_| StandardSignatureError::Malformed)?;
    let signatures = parse(signatures)?;
    let content = [id.as_bytes(), b".", sent_at.as_bytes(), b".", body].concat();
    // `hmac::verify` compares in constant time; the order of the checks tells a forger nothing that he does not know.
    let is_ours = |signature: &Vec<u8>| {
        keys.iter()
            .any(|key| hmac::verify(key, &content, signature).is_ok())
    };
    if !signatures.iter().any(is_ours) {
        return Err(StandardSignatureError::Mismatch);
    }
    if now.as_second().saturating_sub(seconds).saturating_abs() > TOLERANCE_SECONDS {
        return Err(StandardSignatureError::OutsideTolerance);
    }
    Ok(id)
}

/// The headers of a message: its id, its time, and a signature under each of the keys, so that whoever knows one of them
/// can check it. None when the id is not the value of a header, or there is no key.
#[must_use]
pub fn sign(id: &str, body: &[u8], keys: &[hmac::Key], now: Timestamp) -> Option<HeaderMap> {
    let sent_at = now.as_second().to_string();
    let content = [id.as_bytes(), b".", sent_at.as_bytes(), b".", body].concat();
    let signatures: Vec<String> = keys
        .iter()
        .map(|key| format!("v1,{}", STANDARD.encode(hmac::sign(key, &content))))
        .collect();
    if id.is_empty() || signatures.is_empty() {
        return None;
    }
    let value = |text: &str| HeaderValue::from_str(text).ok();
    Some(HeaderMap::from_iter([
        (HeaderName::from_static(ID), value(id)?),
        (HeaderName::from_static(TIMESTAMP), value(&sent_at)?),
        (
            HeaderName::from_static(SIGNATURE),
            value(&signatures.join(" "))?,
        ),
    ]))
}

/// A header that is there once, as text.
fn once<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h str, StandardSignatureError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if value.len() <= MAX_HEADER_BYTES => value
            .to_str()
            .map_err(|_| StandardSignatureError::Malformed),
        _ => Err(StandardSignatureError::Malformed),
    }
}

/// Every `v1`; other schemes, such as the asymmetric `v1a`, are passed over.
fn parse(header: &str) -> Result<Vec<Vec<u8>>, StandardSignatureError> {
    let mut signatures = Vec::new();
    for item in header.split_ascii_whitespace() {
        match item.split_once(',') {
            Some(("v1", value)) if signatures.len() < MAX_SIGNATURES => signatures.push(
                STANDARD
                    .decode(value)
                    .map_err(|_| StandardSignatureError::Malformed)?,
            ),
            Some(_) => {}
            None => return Err(StandardSignatureError::Malformed),
        }
    }
    if signatures.is_empty() {
        return Err(StandardSignatureError::Malformed);
    }
    Ok(signatures)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example that Standard Webhooks' libraries are tested with.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const MESSAGE: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SENT_AT: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn message(signature: &str) -> HeaderMap {
        let sent_at = SENT_AT.to_string();
        headers(&[(ID, MESSAGE), (TIMESTAMP, &sent_at), (SIGNATURE, signature)])
    }

    fn verified(headers: &HeaderMap, body: &[u8], now: i64) -> Result<(), StandardSignatureError> {
        verify(headers, body, &[key(SECRET).unwrap()], at(now)).map(|id| assert_eq!(id, MESSAGE))
    }

    #[test]
    fn a_message_signed_by_any_library_of_the_standard_is_believed() {
        assert_eq!(verified(&message(SIGNED), BODY, SENT_AT), Ok(()));
    }

    #[test]
    fn what_we_sign_is_what_the_libraries_of_the_standard_sign() {
        let keys = [key(SECRET).unwrap()];
        let signed = sign(MESSAGE, BODY, &keys, at(SENT_AT)).unwrap();
        assert_eq!(signed, message(SIGNED));
    }

    #[test]
    fn what_we_sign_while_secrets_are_rotated_is_believed_by_who_knows_either() {
        let (old, new) = (key("whsec_b2xk").unwrap(), key("whsec_bmV3").unwrap());
        let signed = sign("m-1", BODY, &[new.clone(), old.clone()], at(SENT_AT)).unwrap();
        for known in [old, new] {
            assert_eq!(verify(&signed, BODY, &[known], at(SENT_AT)), Ok("m-1"));
        }
        let other = key("whsec_AAAA").unwrap();
        let refused = verify(&signed, BODY, &[other], at(SENT_AT));
        assert_eq!(refused, Err(StandardSignatureError::Mismatch));
    }

    #[test]
    fn without_a_key_or_an_id_nothing_is_signed() {
        let keys = [key(SECRET).unwrap()];
        assert_eq!(sign("m-1", BODY, &[], at(SENT_AT)), None);
        for id in ["", "two\nlines"] {
            assert_eq!(sign(id, BODY, &keys, at(SENT_AT)), None, "{id}");
        }
    }

    #[test]
    fn one_good_signature_among_several_is_enough_while_secrets_are_rotated() {
        let several = format!("v1,{} v1a,something {SIGNED}", STANDARD.encode([0; 32]));
        assert_eq!(verified(&message(&several), BODY, SENT_AT), Ok(()));
    }

    #[test]
    fn another_body_another_id_another_time_and_another_secret_are_refused() {
        let mismatch = Err(StandardSignatureError::Mismatch);
        assert_eq!(verified(&message(SIGNED), b"{}", SENT_AT), mismatch);
        let mut other = message(SIGNED);
        other.insert(ID, "msg_other".parse().unwrap());
        assert_eq!(verified(&other, BODY, SENT_AT), mismatch);
        let mut moved = message(SIGNED);
        moved.insert(TIMESTAMP, (SENT_AT + 1).to_string().parse().unwrap());
        assert_eq!(verified(&moved, BODY, SENT_AT), mismatch);
        let other_key = key("whsec_AAAA").unwrap();
        let signed = message(SIGNED);
        let refused = verify(&signed, BODY, &[other_key], at(SENT_AT));
        assert_eq!(refused, Err(StandardSignatureError::Mismatch));
    }

    #[test]
    fn a_message_is_good_for_five_minutes_either_way() {
        for good in [SENT_AT - TOLERANCE_SECONDS, SENT_AT + TOLERANCE_SECONDS] {
            assert_eq!(verified(&message(SIGNED), BODY, good), Ok(()));
        }
        for bad in [
            SENT_AT - TOLERANCE_SECONDS - 1,
            SENT_AT + TOLERANCE_SECONDS + 1,
        ] {
            assert_eq!(
                verified(&message(SIGNED), BODY, bad),
                Err(StandardSignatureError::OutsideTolerance)
            );
        }
    }

    #[test]
    fn headers_that_are_missing_doubled_or_of_another_form_are_refused_without_a_panic() {
        let long = format!("v1,{}", "A".repeat(MAX_HEADER_BYTES));
        for signature in ["", "v1", "v1,??", "v2,AAAA", "nonsense", &long] {
            assert_eq!(
                verified(&message(signature), BODY, SENT_AT),
                Err(StandardSignatureError::Malformed),
                "{signature:.60}"
            );
        }
        for name in [ID, TIMESTAMP, SIGNATURE] {
            let mut missing = message(SIGNED);
            missing.remove(name);
            let mut doubled = message(SIGNED);
            doubled.append(name, "1".parse().unwrap());
            let mut empty = message(SIGNED);
            empty.insert(name, "".parse().unwrap());
            for headers in [missing, doubled, empty] {
                assert_eq!(
                    verified(&headers, BODY, SENT_AT),
                    Err(StandardSignatureError::Malformed),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn a_secret_of_another_form_holds_no_key() {
        for bad in ["", "whsec_", "whsec_??", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(key(bad).is_none(), "{bad}");
        }
    }
}
