//! The content encoding of a push to a browser (RFC 8291 on top of RFC 8188, aes128gcm): only the browser that made the
//! subscription can read it, not the push service that carries it.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// Bytes of an uncompressed point on P-256.
pub(super) const PUBLIC_BYTES: usize = 65;
/// Bytes of a subscription's secret.
pub(super) const AUTH_BYTES: usize = 16;
const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const IKM_BYTES: usize = 32;
/// One record holds the whole message; push services take bodies of 4096 bytes.
const RECORD_BYTES: u32 = 4096;
/// Ends the last record of a message.
const LAST_RECORD: u8 = 2;
const TAG_BYTES: usize = 16;
/// Salt, the record's size, and our public key with its length.
const HEADER_BYTES: usize = SALT_BYTES + 4 + 1 + PUBLIC_BYTES;
/// The longest message that fits into a body of 4096 bytes.
pub(super) const MESSAGE_BYTES_MAX: usize = RECORD_BYTES as usize - HEADER_BYTES - 1 - TAG_BYTES;

/// What a browser gives out when it subscribes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    /// Its public key.
    pub(super) public: [u8; PUBLIC_BYTES],
    /// The secret that it shares with us and not with its push service.
    pub(super) auth: [u8; AUTH_BYTES],
}

/// Encrypts a message for a subscription, with a key and a salt that are used once.
///
/// # Errors
/// When the public key is not a point on the curve, the message is too long, or there is no randomness.
pub(super) fn encrypt(keys: &Keys, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let mut salt = [0; SALT_BYTES];
    SystemRandom::new().fill(&mut salt)?;
    encrypt_with(keys, message, &PrivateKey::generate(&ECDH_P256)?, salt)
}

fn encrypt_with(
    keys: &Keys,
    message: &[u8],
    ours: &PrivateKey,
    salt: [u8; SALT_BYTES],
) -> Result<Vec<u8>, Unspecified> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Unspecified);
    }
    let our_public = ours.compute_public_key()?;
    let ikm = shared(keys, ours, &keys.public, &keys.public, our_public.as_ref())?;
    let (key, nonce) = of_record(&ikm, salt)?;
    let mut record = message.to_vec();
    record.push(LAST_RECORD);
    key.seal_in_place_append_tag(nonce, Aad::empty(), &mut record)?;

    let mut body = Vec::with_capacity(HEADER_BYTES + record.len());
    body.extend_from_slice(&salt);
    body.extend_from_slice(&RECORD_BYTES.to_be_bytes());
    body.push(u8::try_from(PUBLIC_BYTES).map_err(|_| Unspecified)?);
    body.extend_from_slice(our_public.as_ref());
    body.extend_from_slice(&record);
    Ok(body)
}

/// What only the two ends know (RFC 8291, 3.4). The same from both: one has its own private key and the other's public
/// one.
fn shared(
    keys: &Keys,
    private: &PrivateKey,
    peer: &[u8],
    browser: &[u8],
    sender: &[u8],
) -> Result<[u8; IKM_BYTES], Unspecified> {
    agree(
        private,
        UnparsedPublicKey::new(&ECDH_P256, peer),
        Unspecified,
        |secret| {
            let prk = Salt::new(HKDF_SHA256, &keys.auth).extract(secret);
            expand(&prk, &[b"WebPush: info\0", browser, sender])
        },
    )
}

/// Key and nonce of the first and only record (RFC 8188, 2.2 and 2.3).
fn of_record(
    ikm: &[u8; IKM_BYTES],
    salt: [u8; SALT_BYTES],
) -> Result<(LessSafeKey, Nonce), Unspecified> {
    let prk = Salt::new(HKDF_SHA256, &salt).extract(ikm);
    let key: [u8; KEY_BYTES] = expand(&prk, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce: [u8; NONCE_BYTES] = expand(&prk, &[b"Content-Encoding: nonce\0"])?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?);
    Ok((key, Nonce::assume_unique_for_key(nonce)))
}

fn expand<const N: usize>(prk: &Prk, info: &[&[u8]]) -> Result<[u8; N], Unspecified> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut out = [0; N];
    prk.expand(info, Length(N))?.fill(&mut out)?;
    Ok(out)
}

/// Reads a body as the browser does.
#[cfg(test)]
pub(super) fn decrypt(keys: &Keys, private: &PrivateKey, body: &[u8]) -> Option<Vec<u8>> {
    let salt = body.get(..SALT_BYTES)?.try_into().ok()?;
    let size = u32::from_be_bytes(body.get(SALT_BYTES..SALT_BYTES + 4)?.try_into().ok()?);
    let id_bytes = usize::from(*body.get(SALT_BYTES + 4)?);
    let (sender, record) = body.get(SALT_BYTES + 5..)?.split_at_checked(id_bytes)?;
    if record.len() > size as usize {
        return None;
    }
    let ikm = shared(keys, private, sender, &keys.public, sender).ok()?;
    let (key, nonce) = of_record(&ikm, salt).ok()?;
    let mut record = record.to_vec();
    let opened = key.open_in_place(nonce, Aad::empty(), &mut record).ok()?;
    let end = opened.iter().rposition(|byte| *byte != 0)?;
    (opened[end] == LAST_RECORD).then(|| opened[..end].to_vec())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    fn private(text: &str) -> PrivateKey {
        PrivateKey::from_private_key(&ECDH_P256, &bytes(text)).unwrap()
    }

    /// The subscription of RFC 8291, appendix A.
    fn of_the_rfc() -> Keys {
        Keys {
            public: bytes(
                "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            )
            .try_into()
            .unwrap(),
            auth: bytes("BTBZMqHH6r4Tts7J_aSIgg").try_into().unwrap(),
        }
    }

    const BROWSERS_KEY: &str = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";
    const SENDERS_KEY: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
    const SALT: &str = "DGv6ra1nlYgDCS1FRnbzlw";
    const MESSAGE: &[u8] = b"When I grow up, I want to be a watermelon";
    const BODY: &str = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";

    #[test]
    fn a_message_is_encrypted_to_the_byte_as_the_rfcs_example() {
        let salt = bytes(SALT).try_into().unwrap();
        let body = encrypt_with(&of_the_rfc(), MESSAGE, &private(SENDERS_KEY), salt).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(body), BODY);
    }

    #[test]
    fn the_rfcs_example_is_read_by_the_browser_that_it_is_for_and_by_no_other() {
        let keys = of_the_rfc();
        let read = decrypt(&keys, &private(BROWSERS_KEY), &bytes(BODY));
        assert_eq!(read.as_deref(), Some(MESSAGE));
        assert!(decrypt(&keys, &private(SENDERS_KEY), &bytes(BODY)).is_none());
        let mut other = keys.clone();
        other.auth[0] ^= 1;
        assert!(decrypt(&other, &private(BROWSERS_KEY), &bytes(BODY)).is_none());
    }

    #[test]
    fn what_is_encrypted_is_read_again_and_never_looks_the_same_twice() {
        let keys = of_the_rfc();
        let browser = private(BROWSERS_KEY);
        for length in [0, 1, 100, MESSAGE_BYTES_MAX] {
            let message = vec![b'x'; length];
            let body = encrypt(&keys, &message).unwrap();
            assert!(body.len() <= 4096, "{length}: {}", body.len());
            assert_eq!(decrypt(&keys, &browser, &body), Some(message.clone()));
            assert_ne!(body, encrypt(&keys, &message).unwrap());
        }
        assert!(encrypt(&keys, &[0; MESSAGE_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn a_key_that_is_no_point_of_the_curve_encrypts_nothing() {
        let mut keys = of_the_rfc();
        keys.public = [7; PUBLIC_BYTES];
        assert!(encrypt(&keys, MESSAGE).is_err());
    }
}
