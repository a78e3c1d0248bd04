//! Checks the header `Stripe-Signature`: `t=<unix seconds>,v1=<hex>[,v1=<hex>…]`, HMAC-SHA256 over `<t>.<raw body>`.
//!
//! The raw bytes are checked before anything of them is parsed. Nothing of an unsigned body reaches the log or a decider.

use aws_lc_rs::hmac;
use jiff::Timestamp;

/// The header's name.
pub(crate) const HEADER: &str = "stripe-signature";
/// How far the signature's time may be from ours, either way.
const TOLERANCE_SECONDS: i64 = 5 * 60;
/// A provider that rotates its secret sends a few signatures, never many.
const MAX_SIGNATURES: usize = 16;
/// Longer headers are not looked into.
const MAX_HEADER_BYTES: usize = 4096;

/// Why a callback is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    /// There is no header, or it has another form.
    #[error("the header Stripe-Signature is missing or not of the form t=<seconds>,v1=<hex>")]
    Malformed,
    /// The signature was made too long ago, or lies in the future.
    #[error("the signature's time is more than 5 minutes away from ours")]
    OutsideTolerance,
    /// None of the signatures is one of ours over this body.
    #[error("no signature matches the body")]
    Mismatch,
}

/// Accepts the body if one of its signatures was made with the secret within the tolerance.
pub(crate) fn verify(
    header: Option<&str>,
    body: &[u8],
    secret: &str,
    now: Timestamp,
) -> Result<(), SignatureError> {
    let header = header
        .filter(|text| text.len() <= MAX_HEADER_BYTES)
        .ok_or(SignatureError::Malformed)?;
    let (signed_at, signatures) = parse(header)?;
    let seconds = signed_at
        .parse::<i64>()
        .map_err(|_| SignatureError::Malformed)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let content = [signed_at.as_bytes(), b".", body].concat();
    // `hmac::verify` compares in constant time; the order of the checks tells a forger nothing that he does not know.
    if !signatures
        .iter()
        .any(|signature| hmac::verify(&key, &content, signature).is_ok())
    {
        return Err(SignatureError::Mismatch);
    }
    if now.as_second().saturating_sub(seconds).saturating_abs() > TOLERANCE_SECONDS {
        return Err(SignatureError::OutsideTolerance);
    }
    Ok(())
}

/// The time as it was signed, and every `v1`; other schemes are passed over.
fn parse(header: &str) -> Result<(&str, Vec<Vec<u8>>), SignatureError> {
    let mut signed_at = None;
    let mut signatures = Vec::new();
    for item in header.split(',') {
        match item.trim().split_once('=') {
            Some(("t", value)) if signed_at.is_none() => signed_at = Some(value),
            Some(("t", _)) | None => return Err(SignatureError::Malformed),
            Some(("v1", value)) if signatures.len() < MAX_SIGNATURES => {
                signatures.push(hex::decode(value).map_err(|_| SignatureError::Malformed)?);
            }
            Some(_) => {}
        }
    }
    match signed_at {
        Some(signed_at) if !signatures.is_empty() => Ok((signed_at, signatures)),
        _ => Err(SignatureError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_a_secret";
    const BODY: &[u8] = br#"{"id":"evt_1"}"#;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn sign(secret: &str, at: i64, body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hex::encode(hmac::sign(
            &key,
            &[at.to_string().as_bytes(), b".", body].concat(),
        ))
    }

    fn header(secret: &str, at: i64) -> String {
        format!("t={at},v1={}", sign(secret, at, BODY))
    }

    #[test]
    fn a_signature_over_time_and_body_with_our_secret_is_accepted() {
        let at = now().as_second();
        assert_eq!(
            verify(Some(&header(SECRET, at)), BODY, SECRET, now()),
            Ok(())
        );
    }

    #[test]
    fn one_good_signature_among_several_is_enough_while_secrets_are_rotated() {
        let at = now().as_second();
        let several = format!(
            "t={at},v1={},v0=ignored,v1={}",
            sign("whsec_old", at, BODY),
            sign(SECRET, at, BODY)
        );
        assert_eq!(verify(Some(&several), BODY, SECRET, now()), Ok(()));
    }

    #[test]
    fn another_secret_another_body_and_another_time_are_refused() {
        let at = now().as_second();
        assert_eq!(
            verify(Some(&header("whsec_other", at)), BODY, SECRET, now()),
            Err(SignatureError::Mismatch)
        );
        assert_eq!(
            verify(Some(&header(SECRET, at)), b"{}", SECRET, now()),
            Err(SignatureError::Mismatch)
        );
        let moved = header(SECRET, at).replace(&at.to_string(), &(at + 1).to_string());
        assert_eq!(
            verify(Some(&moved), BODY, SECRET, now()),
            Err(SignatureError::Mismatch)
        );
    }

    #[test]
    fn a_signature_is_good_for_five_minutes_either_way() {
        let at = now().as_second();
        for good in [at - TOLERANCE_SECONDS, at + TOLERANCE_SECONDS] {
            assert_eq!(
                verify(Some(&header(SECRET, good)), BODY, SECRET, now()),
                Ok(())
            );
        }
        for bad in [at - TOLERANCE_SECONDS - 1, at + TOLERANCE_SECONDS + 1] {
            assert_eq!(
                verify(Some(&header(SECRET, bad)), BODY, SECRET, now()),
                Err(SignatureError::OutsideTolerance)
            );
        }
    }

    #[test]
    fn headers_of_another_form_are_refused_without_a_panic() {
        let at = now().as_second();
        let good = sign(SECRET, at, BODY);
        let long = format!("t={at},v1={good},x={}", "a".repeat(MAX_HEADER_BYTES));
        let bad = [
            String::new(),
            format!("t={at}"),
            format!("v1={good}"),
            format!("t={at},t={at},v1={good}"),
            format!("t=soon,v1={good}"),
            format!("t={at},v1=zz"),
            "nonsense".to_owned(),
            long,
        ];
        for header in &bad {
            assert_eq!(
                verify(Some(header), BODY, SECRET, now()),
                Err(SignatureError::Malformed),
                "{header:.60}"
            );
        }
        assert_eq!(
            verify(None, BODY, SECRET, now()),
            Err(SignatureError::Malformed)
        );
    }
}
