//! Stripe's signature of a webhook.

use aws_lc_rs::hmac;

/// The value of `Stripe-Signature` for this body at this Unix time: `t=…,v1=…`, an HMAC-SHA256 over
/// `<time>.<body>` under the whole secret.
#[must_use]
pub fn signature(secret: &str, unix_seconds: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{unix_seconds}.{body}").as_bytes());
    format!("t={unix_seconds},v1={}", hex::encode(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_hmac_of_time_and_body() {
        // Worked out with: printf '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test
        assert_eq!(
            signature("whsec_test", 1_700_000_000, "{\"id\":\"evt_1\"}"),
            "t=1700000000,v1=c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925"
        );
    }

    #[test]
    fn another_body_time_or_secret_gives_another_signature() {
        let original = signature("whsec_a", 1, "body");
        assert_ne!(original, signature("whsec_a", 1, "Body"));
        assert_ne!(
            original.split("v1=").last(),
            signature("whsec_a", 2, "body").split("v1=").last()
        );
        assert_ne!(original, signature("whsec_b", 1, "body"));
    }
}
