//! Wraps what lies in the vault under the installation's key: AES-256-GCM, bound to its kind and owner.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use uuid::Uuid;

use crate::crypto::{CryptoError, InstallationKey};

#[derive(Clone)]
pub(super) struct Wrapping(Arc<RandomizedNonceKey>);

impl Wrapping {
    pub(super) fn new(key: &InstallationKey) -> Result<Self, CryptoError> {
        let key = key.derive("vault-wrapping")?;
        RandomizedNonceKey::new(&AES_256_GCM, &key)
            .map(|key| Self(Arc::new(key)))
            .map_err(|_| CryptoError::Derivation)
    }

    /// Nonce and ciphertext.
    pub(super) fn wrap(&self, kind: &str, id: Uuid, plain: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let mut bytes = plain.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(owner(kind, id)), &mut bytes)
            .map_err(|_| CryptoError::Derivation)?;
        let mut wrapped = nonce.as_ref().to_vec();
        wrapped.append(&mut bytes);
        Ok(wrapped)
    }

    /// Nothing when it was wrapped under another key or for another owner, or is damaged.
    pub(super) fn unwrap(&self, kind: &str, id: Uuid, wrapped: &[u8]) -> Option<Vec<u8>> {
        let (nonce, ciphertext) = wrapped.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = ciphertext.to_vec();
        let plain = self
            .0
            .open_in_place(nonce, Aad::from(owner(kind, id)), &mut bytes)
            .ok()?;
        Some(plain.to_vec())
    }
}

/// A row copied over another one does not open there.
fn owner(kind: &str, id: Uuid) -> Vec<u8> {
    [id.as_bytes().as_slice(), kind.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapping(secret: &[u8]) -> Wrapping {
        Wrapping::new(&InstallationKey::from_secret(secret).unwrap()).unwrap()
    }

    #[test]
    fn only_the_same_installation_opens_it_and_only_for_its_owner() {
        let ours = wrapping(b"ours");
        let (ada, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let wrapped = ours.wrap("k", ada, b"secret").unwrap();
        assert_eq!(ours.unwrap("k", ada, &wrapped).unwrap(), b"secret");
        assert!(!wrapped.windows(6).any(|bytes| bytes == b"secret"));
        assert_eq!(ours.unwrap("k", bob, &wrapped), None);
        assert_eq!(ours.unwrap("other", ada, &wrapped), None);
        assert_eq!(wrapping(b"theirs").unwrap("k", ada, &wrapped), None);
        let mut damaged = wrapped.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(ours.unwrap("k", ada, &damaged), None);
        assert_eq!(ours.unwrap("k", ada, b"short"), None);
    }
}
