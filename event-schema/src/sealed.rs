//! Personal data inside events: readable only with the person's own key, unreadable for ever once it is destroyed.
//!
//! AES-256-GCM. The authenticated data are the id under which the value was sealed (the quote, the command or the
//! event that first carried it) and the field's name, so that a sealed value cannot be moved to another place
//! unnoticed. The value is copied sealed from quote to event to state; see the ADR on personal data.

use std::fmt;
use std::marker::PhantomData;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::codec;

/// Why a value could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The value cannot be encoded.
    #[error("the value cannot be encoded")]
    Codec(#[from] codec::CodecError),
    /// Wrong key, or somebody changed or moved the value.
    #[error("the sealed value does not open: another key, or it was changed or moved")]
    Broken,
    /// A key has another length than 32 bytes.
    #[error("a personal key has 32 bytes")]
    KeyLength,
}

/// A person's own key. Never in events, logs or `Debug` output.
#[derive(Clone)]
pub struct PersonalKey([u8; 32]);

impl PersonalKey {
    /// Takes key bytes from the vault.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        bytes.try_into().map(Self).map_err(|_| SealError::KeyLength)
    }

    /// Makes a new key.
    pub fn generate() -> Result<Self, SealError> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| SealError::Broken)?;
        Ok(Self(bytes))
    }

    /// The key bytes, for the vault only.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    fn cipher(&self) -> Result<RandomizedNonceKey, SealError> {
        RandomizedNonceKey::new(&AES_256_GCM, &self.0).map_err(|_| SealError::KeyLength)
    }
}

impl fmt::Debug for PersonalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonalKey(…)")
    }
}

/// A value of type `T` that only the person's key opens.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Sealed<T> {
    /// Whose key opens it.
    pub person: Uuid,
    /// The id it was sealed under: authenticated, never changed by copying.
    pub origin: Uuid,
    /// The field's name: authenticated.
    pub field: String,
    /// Nonce and ciphertext, base64url.
    sealed: String,
    #[serde(skip)]
    value: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Sealed<T> {
    /// Seals a value for a person.
    pub fn seal(
        key: &PersonalKey,
        person: Uuid,
        origin: Uuid,
        field: &str,
        value: &T,
    ) -> Result<Self, SealError> {
        let mut bytes = codec::encode(value)?;
        let nonce = key
            .cipher()?
            .seal_in_place_append_tag(Aad::from(aad(origin, field)), &mut bytes)
            .map_err(|_| SealError::Broken)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.extend_from_slice(&bytes);
        Ok(Self {
            person,
            origin,
            field: field.to_owned(),
            sealed: URL_SAFE_NO_PAD.encode(sealed),
            value: PhantomData,
        })
    }

    /// Opens the value; without a key (destroyed on the person's wish) there is nothing to show: `None`.
    pub fn open(&self, key: Option<&PersonalKey>) -> Result<Option<T>, SealError> {
        let Some(key) = key else { return Ok(None) };
        let mut bytes = URL_SAFE_NO_PAD
            .decode(&self.sealed)
            .map_err(|_| SealError::Broken)?;
        if bytes.len() < 12 {
            return Err(SealError::Broken);
        }
        let mut ciphertext = bytes.split_off(12);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).map_err(|_| SealError::Broken)?;
        let plain = key
            .cipher()?
            .open_in_place(
                nonce,
                Aad::from(aad(self.origin, &self.field)),
                &mut ciphertext,
            )
            .map_err(|_| SealError::Broken)?;
        Ok(Some(codec::decode(plain)?))
    }
}

fn aad(origin: Uuid, field: &str) -> Vec<u8> {
    [origin.as_bytes().as_slice(), field.as_bytes()].concat()
}

// Derives would ask `T` for the same traits, but only the ciphertext is held.
impl<T> Clone for Sealed<T> {
    fn clone(&self) -> Self {
        Self {
            person: self.person,
            origin: self.origin,
            field: self.field.clone(),
            sealed: self.sealed.clone(),
            value: PhantomData,
        }
    }
}

impl<T> PartialEq for Sealed<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.person, self.origin, &self.field, &self.sealed)
            == (other.person, other.origin, &other.field, &other.sealed)
    }
}

impl<T> Eq for Sealed<T> {}

impl<T> fmt::Debug for Sealed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} of {})", self.field, self.person)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(key: &PersonalKey) -> Sealed<String> {
        Sealed::seal(
            key,
            Uuid::from_u128(1),
            Uuid::from_u128(2),
            "phone",
            &"+49 30 1".to_owned(),
        )
        .unwrap()
    }

    #[test]
    fn only_the_persons_key_opens_it_and_no_key_reads_as_nothing() {
        let key = PersonalKey::generate().unwrap();
        let value = sealed(&key);
        assert_eq!(value.open(Some(&key)).unwrap().as_deref(), Some("+49 30 1"));
        assert_eq!(value.open(None).unwrap(), None);
        let other = PersonalKey::generate().unwrap();
        assert!(matches!(value.open(Some(&other)), Err(SealError::Broken)));
    }

    #[test]
    fn a_sealed_value_moved_to_another_field_or_event_does_not_open() {
        let key = PersonalKey::generate().unwrap();
        let mut moved = sealed(&key);
        moved.field = "email".into();
        assert!(matches!(moved.open(Some(&key)), Err(SealError::Broken)));
        let mut moved = sealed(&key);
        moved.origin = Uuid::from_u128(3);
        assert!(matches!(moved.open(Some(&key)), Err(SealError::Broken)));
    }

    #[test]
    fn the_stored_form_holds_no_trace_of_the_value() {
        let key = PersonalKey::generate().unwrap();
        let bytes = codec::encode(&sealed(&key)).unwrap();
        assert!(!bytes.windows(5).any(|w| w == b"+49 3"));
        let back: Sealed<String> = codec::decode(&bytes).unwrap();
        assert_eq!(back.open(Some(&key)).unwrap().as_deref(), Some("+49 30 1"));
    }
}
