//! The key (P-256) by which a browser's push service knows the shop again (RFC 8292, VAPID).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::agreement::{self, PrivateKey};
use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::crypto::CryptoError;

/// Bytes of a private key on P-256.
const PRIVATE_BYTES: usize = 32;
const PEM_BEGIN: &str = "-----BEGIN ";
const PEM_END: &str = "-----END ";
const PEM_LINE_CHARS: usize = 64;

/// A private key on P-256 that signs.
#[derive(Clone)]
pub struct PushKey {
    pair: Arc<EcdsaKeyPair>,
}

impl fmt::Debug for PushKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushKey(hidden)")
    }
}

impl PushKey {
    /// Reads a PEM document (PKCS#8 or SEC 1), or the 43 letters of base64url that the web's tools write.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let text = text.trim();
        let pair = match private_pem(text) {
            Some(der) => EcdsaKeyPair::from_private_key_der(alg, &der).ok()?,
            None => {
                let raw = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
                if raw.len() != PRIVATE_BYTES {
                    return None;
                }
                let public = PrivateKey::from_private_key(&agreement::ECDH_P256, &raw)
                    .ok()?
                    .compute_public_key()
                    .ok()?;
                EcdsaKeyPair::from_private_key_and_public_key(alg, &raw, public.as_ref()).ok()?
            }
        };
        Some(Self {
            pair: Arc::new(pair),
        })
    }

    /// A new key.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn fresh() -> Result<Self, CryptoError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| CryptoError::Derivation)?;
        Ok(Self {
            pair: Arc::new(pair),
        })
    }

    /// The public half, uncompressed (65 bytes).
    #[must_use]
    pub fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// The public half as browsers ask for it (`applicationServerKey`).
    #[must_use]
    pub fn public_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.public())
    }

    /// The whole key as a PEM document.
    ///
    /// # Errors
    /// Never for a key that could be read; typed instead of a panic.
    pub fn to_pem(&self) -> Result<String, CryptoError> {
        let document = self
            .pair
            .to_pkcs8v1()
            .map_err(|_| CryptoError::Derivation)?;
        let mut pem = format!("{PEM_BEGIN}PRIVATE KEY-----\n");
        let mut rest = STANDARD.encode(document.as_ref());
        while !rest.is_empty() {
            let next = rest.split_off(rest.len().min(PEM_LINE_CHARS));
            pem.push_str(&rest);
            pem.push('\n');
            rest = next;
        }
        pem.push_str(PEM_END);
        pem.push_str("PRIVATE KEY-----\n");
        Ok(pem)
    }

    /// A signature (ES256, 64 bytes) of the bytes.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.pair
            .sign(&SystemRandom::new(), bytes)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| CryptoError::Derivation)
    }

    /// The private half as the web's tools write it.
    ///
    /// # Errors
    /// Never for a key that could be read; typed instead of a panic.
    pub fn private_text(&self) -> Result<String, CryptoError> {
        let raw = self
            .pair
            .private_key()
            .as_be_bytes()
            .map_err(|_| CryptoError::Derivation)?;
        Ok(URL_SAFE_NO_PAD.encode(raw.as_ref()))
    }
}

/// The first private key of a PEM document; `openssl ecparam` writes the curve's parameters before it.
fn private_pem(text: &str) -> Option<Vec<u8>> {
    let mut lines = text.lines().map(str::trim);
    lines
        .by_ref()
        .find(|line| line.starts_with(PEM_BEGIN) && line.contains("PRIVATE KEY"))?;
    let body: String = lines
        .take_while(|line| !line.starts_with(PEM_END))
        .collect();
    STANDARD.decode(body).ok()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    /// The application server's key of RFC 8291, appendix A.
    const OF_THE_RFC: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
    const ITS_PUBLIC_HALF: &str =
        "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8";

    #[test]
    fn a_key_is_the_same_in_every_form_it_is_written_in() {
        let key = PushKey::parse(OF_THE_RFC).unwrap();
        assert_eq!(key.public_text(), ITS_PUBLIC_HALF);
        assert_eq!(key.private_text().unwrap(), OF_THE_RFC);
        let pem = key.to_pem().unwrap();
        assert_eq!(PushKey::parse(&pem).unwrap().public_text(), ITS_PUBLIC_HALF);
        assert!(pem.lines().all(|line| line.len() <= 64));
        assert!(!format!("{key:?}").contains(OF_THE_RFC));
    }

    #[test]
    fn a_key_as_openssl_writes_it_can_be_read() {
        // openssl ecparam -name prime256v1 -genkey, of the RFC's key: parameters first, then SEC 1.
        let der = {
            let key = PushKey::parse(OF_THE_RFC).unwrap();
            let der: aws_lc_rs::encoding::EcPrivateKeyRfc5915Der<'_> =
                aws_lc_rs::encoding::AsDer::as_der(&key.pair.private_key()).unwrap();
            STANDARD.encode(der.as_ref())
        };
        let pem = format!(
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n\
             -----BEGIN EC PRIVATE KEY-----\n{der}\n-----END EC PRIVATE KEY-----\n"
        );
        assert_eq!(PushKey::parse(&pem).unwrap().public_text(), ITS_PUBLIC_HALF);
    }

    #[test]
    fn what_is_no_key_is_none() {
        for bad in [
            "",
            "hello",
            "AAAA",
            &"A".repeat(43),
            "-----BEGIN PRIVATE KEY-----\n!",
        ] {
            assert!(PushKey::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_signature_is_verified_with_the_public_half_alone() {
        let key = PushKey::fresh().unwrap();
        let signature = key.sign(b"to the push service").unwrap();
        assert_eq!(signature.len(), 64);
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public());
        public.verify(b"to the push service", &signature).unwrap();
        assert!(public.verify(b"to somebody else", &signature).is_err());
    }
}
